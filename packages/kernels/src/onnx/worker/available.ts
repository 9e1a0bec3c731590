import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { listSupportedBackends } from 'onnxruntime-node';
import { requireHere } from '../../here';
import type { Provider } from '../protocol';

/** Libraries that a provider needs beside onnxruntime's own, where its package leaves them out. */
const LIBRARIES: Partial<Record<Provider, readonly string[]>> = {
  cuda: ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'],
};
const HOW: Partial<Record<Provider, string>> = {
  cuda: 'its package downloads it when its install script runs (without ONNXRUNTIME_NODE_INSTALL=skip)',
};

/** Throws where the build of onnxruntime for this platform has no such provider, or lacks a library for it. */
export function requireProvider(provider: Provider): void {
  const here = listSupportedBackends().map(({ name }) => name);
  if (!here.includes(provider)) {
    throw new Error(`onnxruntime-node has ${here.join(', ')} on ${process.platform} ${process.arch}`);
  }
  // Asked for a library that is not there, onnxruntime writes to stderr by itself.
  const missing = LIBRARIES[provider]?.find((name) => !libraryFolders().some((dir) => existsSync(join(dir, name))));
  if (missing !== undefined) throw new Error(`${missing} is missing in onnxruntime-node; ${HOW[provider]}`);
}

/** `bin/napi-v<n>/<platform>/<cpu>` of the package. */
function libraryFolders(): string[] {
  const bin = join(dirname(requireHere().resolve('onnxruntime-node')), '..', 'bin');
  return readdirSync(bin).map((version) => join(bin, version, process.platform, process.arch));
}
