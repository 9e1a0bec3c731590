import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

/** Where things are kept between runs that are costly to make. */
export function defaultCache(): string {
  return path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'airllm-bench');
}

/**
 * A folder with packages (`name@version`) in its `node_modules`, of which `there` is a part, or why there is none. From
 * the cache or by npm, without the optional packages that they name; no script of theirs runs.
 */
export async function npmInstall(
  folder: string,
  wanted: readonly string[],
  there: string,
): Promise<{ folder: string } | { obstacle: string }> {
  if (existsSync(path.join(folder, 'node_modules', there))) return { folder };
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'package.json'), '{ "private": true }\n');
    const flags = ['--ignore-scripts', '--omit=optional', '--no-audit', '--no-fund'];
    await promisify(execFile)('npm', ['install', ...flags, ...wanted], {
      cwd: folder,
      shell: process.platform === 'win32',
    });
    return { folder };
  } catch (error) {
    return { obstacle: `npm could not install ${wanted[0]}: ${(error as Error).message.trim().split('\n')[0]}` };
  }
}
