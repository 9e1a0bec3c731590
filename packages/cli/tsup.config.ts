import { library } from '../../tsup.config';

export default library({
  // The program itself is a file of its own, so that importing the package starts nothing.
  entry: ['src/index.ts', 'src/bin.ts'],
  dts: { entry: 'src/index.ts' },
});
