import { library } from '../../tsup.config';

export default library({
  // The splitting thread is a file of its own, found through "imports" in package.json.
  entry: { index: 'src/index.ts', worker: 'src/worker/worker.ts' },
  dts: { entry: { index: 'src/index.ts' } },
});
