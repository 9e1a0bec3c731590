import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

/** What AirLLM (https://github.com/lyogavin/airllm) is measured with. */
const PACKAGES = ['airllm==4.0.0', 'transformers==5.23.0', 'accelerate==1.15.0'];

/**
 * A Python with AirLLM, from the cache or by pip (its torch takes gigabytes), or why there is none. `given` is one that the
 * caller has made.
 */
export async function installAirllm(cache: string, given?: string): Promise<{ python: string } | { obstacle: string }> {
  if (given !== undefined) return checked(given);
  const folder = path.join(cache, PACKAGES.join('-').replaceAll('==', '-'));
  const python = path.join(folder, 'bin', 'python');
  if (existsSync(python)) return checked(python);
  const making = `${folder}.making`;
  try {
    await mkdir(cache, { recursive: true });
    await rm(making, { recursive: true, force: true });
    await promisify(execFile)('python3', ['-m', 'venv', making]);
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...PACKAGES];
    await promisify(execFile)(path.join(making, 'bin', 'python'), pip, { maxBuffer: 2 ** 26 });
    await rename(making, folder);
    return await checked(python);
  } catch (error) {
    return { obstacle: `pip could not install ${PACKAGES[0]}: ${firstLine(error)}` };
  }
}

async function checked(python: string): Promise<{ python: string } | { obstacle: string }> {
  try {
    await promisify(execFile)(python, ['-c', 'import airllm']);
    return { python };
  } catch (error) {
    return { obstacle: `${python} has no airllm that can be imported: ${firstLine(error)}` };
  }
}

function firstLine(error: unknown): string {
  return (error as Error).message.trim().split('\n').at(-1)!;
}
