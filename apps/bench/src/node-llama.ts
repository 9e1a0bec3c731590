import path from 'node:path';
import { npmInstall } from './npm-install';

const VERSION = '3.22.1';
const NAME = 'node-llama-cpp';

/**
 * A folder with node-llama-cpp installed, or why there is none. Only the package and its binary for this platform's CPU
 * are fetched: the optional ones are the binaries of every GPU and platform, 700 MB.
 */
export async function installNodeLlama(cache: string): Promise<{ folder: string } | { obstacle: string }> {
  const platform = { linux: 'linux', darwin: 'mac', win32: 'win' }[process.platform as string];
  const binary = `@${NAME}/${platform}-${process.arch}${process.platform === 'darwin' && process.arch === 'arm64' ? '-metal' : ''}`;
  return npmInstall(path.join(cache, `${NAME}-${VERSION}`), [`${NAME}@${VERSION}`, `${binary}@${VERSION}`], binary);
}
