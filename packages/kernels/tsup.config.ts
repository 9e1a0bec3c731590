import { library } from '../../tsup.config';

export default library({
  // The thread of the onnx executor is a file of its own, found through "imports" in package.json.
  entry: { index: 'src/index.ts', 'onnx-worker': 'src/onnx/worker/entry.ts' },
  dts: { entry: 'src/index.ts' },
  // One file each: what the thread shares with the rest is small.
  splitting: false,
});
