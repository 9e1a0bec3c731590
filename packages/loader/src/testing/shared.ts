import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The reference data beside the repository; a plain clone does without. */
const root = fileURLToPath(new URL('../../../../../shared/', import.meta.url));

/** Whether tests on the reference data can run. Where they must (`AIRLLM_SHARED=required`), absence is an error. */
export const sharedAvailable = existsSync(root);

if (!sharedAvailable && process.env.AIRLLM_SHARED === 'required') {
  throw new Error(`AIRLLM_SHARED=required, but ${root} does not exist`);
}

export function shared(path: string): string {
  return `${root}${path}`;
}
