import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const VERSION = '3.22.1';
const NAME = 'node-llama-cpp';

/** Where things are kept between runs that are costly to make. */
export function defaultCache(): string {
  return path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'airllm-bench');
}

/**
 * A folder with node-llama-cpp installed, from the cache or by npm, or why there is none. Only the package and its
 * binary for this platform's CPU are fetched, and no script of theirs runs.
 */
export async function installNodeLlama(cache: string): Promise<{ folder: string } | { obstacle: string }> {
  const folder = path.join(cache, `${NAME}-${VERSION}`);
  const platform = { linux: 'linux', darwin: 'mac', win32: 'win' }[process.platform as string];
  const binary = `@${NAME}/${platform}-${process.arch}${process.platform === 'darwin' && process.arch === 'arm64' ? '-metal' : ''}`;
  if (existsSync(path.join(folder, 'node_modules', binary))) return { folder };
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'package.json'), '{ "private": true }\n');
    const wanted = [`${NAME}@${VERSION}`, `${binary}@${VERSION}`];
    // The optional ones are the binaries of every GPU and platform: 700 MB.
    const flags = ['--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund'];
    await promisify(execFile)('npm', ['install', ...flags, ...wanted], {
      cwd: folder,
      shell: process.platform === 'win32',
    });
    return { folder };
  } catch (error) {
    return { obstacle: `npm could not install ${NAME}: ${(error as Error).message.trim().split('\n')[0]}` };
  }
}
