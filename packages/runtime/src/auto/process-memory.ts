import { freemem } from 'node:os';

/** Room for what JavaScript allocates while it generates: garbage not yet collected, logits, strings. */
const HEADROOM = 64 * 2 ** 20;

/** Bytes the process itself takes, beside weights and states: what it holds now, and room for its heap to breathe. */
export function processBytes(): number {
  return process.memoryUsage.rss() + HEADROOM;
}

/**
 * Bytes this process may use in all where the caller names no limit: what it has and nine tenths of what is free, in
 * the machine or in the cgroup it runs in.
 */
export function defaultMemory(): number {
  const free = process.availableMemory?.() ?? freemem();
  return process.memoryUsage.rss() + Math.floor(free * 0.9);
}
