import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder and those above it, and resolves to the topmost that was made, if any. As `mkdir` with `recursive`, which
 * never returns where a file system (procfs) answers that the parent is missing though it is there. Throws the system's
 * errors.
 */
export async function makeFolder(dir: string): Promise<string | undefined> {
  const missing: string[] = [];
  let at = resolve(dir);
  // A root that is not there (a drive of Windows) is left to mkdir.
  while (!(await isThere(at)) && dirname(at) !== at) {
    missing.unshift(at);
    at = dirname(at);
  }
  let topmost: string | undefined;
  for (const folder of missing) if (await make(folder)) topmost ??= folder;
  // Says ENOTDIR or EEXIST of a file.
  if (missing.length === 0) await mkdir(at, { recursive: true });
  return topmost;
}

/** False if somebody else was first. */
async function make(dir: string): Promise<boolean> {
  try {
    await mkdir(dir);
    return true;
  } catch (error) {
    const isFolder = await stat(dir).then(
      (stats) => stats.isDirectory(),
      () => false,
    );
    if (!isFolder) throw error;
    return false;
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    // Below a file, or where nobody may look: mkdir says so.
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT' && error.code !== 'ENOTDIR',
  );
}
