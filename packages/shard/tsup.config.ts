import { library } from '../../tsup.config';

export default library({
  // The splitting thread is a file of its own, found through "imports" in package.json.
  entry: { index: 'src/index.ts', worker: 'src/worker/worker.ts' },
  dts: { entry: { index: 'src/index.ts' }, compilerOptions: { paths: {} } },
  // In CJS `import.meta` is empty, and src/here.ts does without it there.
  esbuildOptions: (options) => {
    options.logOverride = { 'empty-import-meta': 'silent' };
  },
});
