import { readFileSync } from 'node:fs';
import { freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';

/** How much memory this process may use, in bytes. */
export interface MemoryLimits {
  /** Of the machine. */
  readonly total: number;
  /** Smallest limit of the cgroups the process is in (version 1 or 2); null without one. */
  readonly cgroup: number | null;
  /** What Node says the process is confined to; null where it says nothing, or nothing below the machine's memory. */
  readonly constrained: number | null;
  /** Free for this process, in the machine and in its cgroup. */
  readonly available: number;
}

const ROOT = '/sys/fs/cgroup';

/** What limits this process now. */
export function memoryLimits(): MemoryLimits {
  const total = totalmem();
  const constrained = process.constrainedMemory?.() ?? 0;
  return {
    total,
    cgroup: cgroupLimit(total, readText),
    constrained: constrained > 0 && constrained < total ? constrained : null,
    available: process.availableMemory?.() ?? freemem(),
  };
}

/**
 * The smallest memory limit on the way from the process's own cgroup up to the root, below `total`: a parent's limit
 * holds for its children. `read` returns null for a file that is not there.
 */
export function cgroupLimit(total: number, read: (file: string) => string | null): number | null {
  const own = read('/proc/self/cgroup');
  if (own === null) return null;
  let least = total;
  for (const line of own.trim().split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === '') least = Math.min(least, ...limitsAbove(ROOT, path, 'memory.max', read));
    else if (controllers.split(',').includes('memory')) {
      least = Math.min(least, ...limitsAbove(join(ROOT, 'memory'), path, 'memory.limit_in_bytes', read));
    }
  }
  return least < total ? least : null;
}

function limitsAbove(root: string, path: string, name: string, read: (file: string) => string | null): number[] {
  const limits: number[] = [];
  for (let at = path; ; at = dirname(at)) {
    const limit = Number(read(join(root, at, name)) ?? Number.NaN);
    // `max` is no number; version 1 writes a huge one.
    if (limit > 0) limits.push(limit);
    if (at === '/' || at === '.' || at === '') return limits;
  }
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}
