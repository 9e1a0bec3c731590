import { library } from '../../tsup.config';

export default library({
  // The reader thread is a file of its own, found through "imports" in package.json.
  entry: ['src/index.ts', 'src/reader-worker.ts'],
  dts: { entry: 'src/index.ts', compilerOptions: { paths: {} } },
  // In CJS `import.meta` is empty, and src/here.ts does without it there.
  esbuildOptions: (options) => {
    options.logOverride = { 'empty-import-meta': 'silent' };
  },
});
