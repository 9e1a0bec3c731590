import { readFile } from 'node:fs/promises';
import { uptime } from 'node:os';

/**
 * What changes when the machine starts anew: what a process wrote survives its death in the system's memory, but no
 * power failure unless it was synced. Linux has an id; elsewhere it is the time of the start.
 */
export async function bootId(): Promise<string> {
  const id = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => undefined);
  return id?.trim() ?? `t${Math.round(Date.now() / 1000 - uptime())}`;
}

/** The time of a start is computed from two clocks, which drift apart by a little. */
const TOLERANCE_SECONDS = 5;

export function isSameBoot(a: string, b: string): boolean {
  const [left, right] = [a, b].map((id) => /^t(\d+)$/.exec(id)?.[1]);
  if (left === undefined || right === undefined) return a === b;
  return Math.abs(Number(left) - Number(right)) <= TOLERANCE_SECONDS;
}
