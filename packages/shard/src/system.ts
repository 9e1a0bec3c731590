import { open } from 'node:fs/promises';
import { createRequire } from 'node:module';

/** Direct I/O wants file offsets, lengths and addresses in multiples of this. */
export const BLOCK = 4096;

export function alignDown(value: number, alignment: number): number {
  return value - (value % alignment);
}

export function alignUp(value: number, alignment: number): number {
  return alignDown(value + alignment - 1, alignment);
}

/** The system's name of an error (`ENOSPC`), from what Node throws. */
export function errnoName(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** Whether an error says that the drive or the user's quota is full. */
export function isFull(errno: string | undefined): boolean {
  return errno === 'ENOSPC' || errno === 'EDQUOT';
}

/** Makes renames and new entries of a folder durable. Windows does that by itself and refuses to open folders. */
export async function syncFolder(dir: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * `require` as seen from this package, in the ESM build, the CJS build (where `import.meta` is empty) and vitest alike.
 * Not `__filename` first: under `node -e` and in the REPL it is a global that ESM sees too.
 */
export function requireHere(): NodeJS.Require {
  return createRequire(import.meta.url ?? __filename);
}
