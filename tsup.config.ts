import { defineConfig, type Options } from 'tsup';

const types: Extract<Options['dts'], object> = {
  // Types come from the built packages here, not from their sources as in the editor.
  compilerOptions: { paths: {} },
  // Symbol.dispose is in no lib up to es2024, and a user without @types/node would not have it.
  banner: '/// <reference lib="esnext.disposable" />',
};

/** The one build every app shares: a program, ESM only, from `src/bin.ts`. */
export function program() {
  return defineConfig({
    entry: { bin: 'src/bin.ts' },
    format: ['esm'],
    target: 'node20',
    platform: 'node',
    clean: true,
    removeNodeProtocol: false,
  });
}

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
    // In CJS `import.meta` is empty, and the here.ts of a package does without it there.
    esbuildOptions: (esbuild) => {
      esbuild.logOverride = { 'empty-import-meta': 'silent' };
    },
    ...options,
    dts: { ...types, ...(typeof options.dts === 'object' ? options.dts : {}) },
  });
}
