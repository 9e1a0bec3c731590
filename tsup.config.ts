import { defineConfig, type Options } from 'tsup';

/** The one build every package shares: ESM and CJS with types from `src/index.ts`. */
export function library(options: Options = {}) {
  return defineConfig({
    entry: ['src/index.ts'],
    format: ['esm', 'cjs'],
    target: 'node20',
    platform: 'node',
    clean: true,
    sourcemap: true,
    // `node:` must stay: without it some bundlers resolve userland packages of the same name.
    removeNodeProtocol: false,
    // Types come from the built packages here, not from their sources as in the editor.
    dts: { compilerOptions: { paths: {} } },
    ...options,
  });
}
