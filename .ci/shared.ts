// The reference data, for tests of packages and apps: they import this file by its relative path.
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Reference data beside the repository; absent in a plain clone. */
const folder = fileURLToPath(new URL('../../shared/', import.meta.url));

/** Whether the reference data is there. Throws where it must be. */
export function haveShared(): boolean {
  if (existsSync(folder)) return true;
  if (process.env.AIRLLM_SHARED === 'required') throw new Error(`${folder} is missing, and AIRLLM_SHARED=required`);
  return false;
}

/** Path of something under the reference data. */
export function shared(path: string): string {
  return folder + path;
}

/** Folders under a folder of the reference data; none where it is absent. */
export function sharedFolders(path: string): string[] {
  return haveShared() ? readdirSync(shared(path)).sort() : [];
}
