import { library } from '../../tsup.config';

export default library({
  // The reader thread is a file of its own, found through "imports" in package.json.
  entry: ['src/index.ts', 'src/reader-worker.ts'],
  dts: { entry: 'src/index.ts' },
});
