import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { ExecutorUnavailableError } from '../errors';

/** `linux-x64`, `darwin-arm64`, …: as in the names of the platform packages. */
function platformName(): string {
  return `${process.platform}-${process.arch}`;
}

/** File name of the library in a platform package's `lib` folder. */
export function libraryFile(platform: NodeJS.Platform): string {
  if (platform === 'win32') return 'airllm-kernels.dll';
  return platform === 'darwin' ? 'airllm-kernels.dylib' : 'airllm-kernels.so';
}

/**
 * The library of this platform, from its optional package: nothing else is looked at, no environment variable and no
 * system path. Throws {@link ExecutorUnavailableError} that says which package is missing or empty.
 */
export function findLibrary(platform = platformName()): string {
  const name = `@airllm/kernels-${platform}`;
  const file = libraryFile(platform.slice(0, platform.indexOf('-')) as NodeJS.Platform);
  let manifest: string;
  try {
    // In CJS import.meta is empty. Not `__filename` first: under `node -e` it is a global that ESM sees too.
    manifest = createRequire(import.meta.url ?? __filename).resolve(`${name}/package.json`);
  } catch (cause) {
    throw new ExecutorUnavailableError({
      executor: 'native',
      reason: `the package ${name} is not installed; install optional dependencies, if this platform is supported`,
      cause,
    });
  }
  const library = path.join(path.dirname(manifest), 'lib', file);
  if (existsSync(library)) return library;
  throw new ExecutorUnavailableError({
    executor: 'native',
    reason: `${library} does not exist; in the repository, build it with: node packages/kernels/native/build.mjs`,
  });
}
