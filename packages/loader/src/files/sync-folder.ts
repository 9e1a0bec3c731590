import { open } from 'node:fs/promises';

/**
 * Makes renames and new entries of a folder durable: without it a new name may be lost in a power cut. Windows does that
 * by itself, and refuses to open folders. Throws the system's errors.
 */
export async function syncFolder(dir: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
