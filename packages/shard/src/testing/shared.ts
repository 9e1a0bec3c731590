import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Reference data beside the repository; not part of a plain clone. */
const SHARED = fileURLToPath(new URL('../../../../../shared', import.meta.url));

/** A folder of the reference data, or undefined where there is none. Throws if the run insists on it. */
export function sharedFolder(name: string): string | undefined {
  const dir = path.join(SHARED, name);
  if (existsSync(dir)) return dir;
  if (process.env.AIRLLM_SHARED === 'required') throw new Error(`${dir} is missing, but AIRLLM_SHARED=required`);
  return undefined;
}
