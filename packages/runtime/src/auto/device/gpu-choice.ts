import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { gpuProviders, type Provider } from '@airllm/kernels';
import { makeFolder } from '@airllm/loader';
import { conversionRoot } from '../weights/conversion-cache';
import { writeJson } from '../write-json';

/** What was measured here to be the quickest, as it is kept. */
interface GpuChoice {
  readonly version: 1;
  readonly provider: Provider;
}

/** Keeps which provider computes on this machine's GPU until another one is measured to be quicker. */
export async function rememberGpuChoice(provider: Provider): Promise<void> {
  const file = choiceFile();
  const choice: GpuChoice = { version: 1, provider };
  await makeFolder(dirname(file));
  await writeJson(file, choice);
}

/** Null where nothing was measured, or what was kept is not of this version. */
export async function gpuChoice(): Promise<Provider | null> {
  try {
    const { version, provider }: Partial<GpuChoice> = JSON.parse(await readFile(choiceFile(), 'utf8'));
    return version === 1 ? (gpuProviders().find((known) => known === provider) ?? null) : null;
  } catch {
    // It only makes things quicker: whatever is wrong with it, WebGPU will do.
    return null;
  }
}

/** One for each machine: caches are shared by networks of them. */
function choiceFile(): string {
  return join(dirname(conversionRoot({})), 'gpu', `${hostname().replace(/[^\w.-]+/g, '_')}.json`);
}
