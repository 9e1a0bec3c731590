import { stat } from 'node:fs/promises';
import { freemem } from 'node:os';
import { join } from 'node:path';

/** Room for what JavaScript allocates while it generates: garbage not yet collected, strings. */
const HEADROOM = 64 * 2 ** 20;

/** Bytes of memory per byte of tokenizer.json at the peak of loading it; measured 2 to 3 at 128k and 256k entries. */
const TOKENIZER_FACTOR = 4;

/**
 * Bytes the process itself takes, beside weights and states: what it holds now, the tokenizer of `dir` that is still to
 * be loaded, and room for its heap to breathe.
 */
export async function processBytes(dir: string): Promise<number> {
  const tokenizer = await stat(join(dir, 'tokenizer.json')).then(
    ({ size }) => size,
    () => 0,
  );
  return process.memoryUsage.rss() + tokenizerMemory(tokenizer) + HEADROOM;
}

/** Bytes that a tokenizer takes at most while it is loaded, told by the bytes of its tokenizer.json. */
export function tokenizerMemory(fileBytes: number): number {
  return TOKENIZER_FACTOR * fileBytes;
}

/**
 * Bytes this process may use in all where the caller names no limit: what it has and nine tenths of what is free, in
 * the machine or in the cgroup it runs in.
 */
export function defaultMemory(): number {
  const free = process.availableMemory?.() ?? freemem();
  return process.memoryUsage.rss() + Math.floor(free * 0.9);
}
