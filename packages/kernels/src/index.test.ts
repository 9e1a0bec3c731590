import { expect, it } from 'vitest';
import * as kernels from './index';

// Every change to what the package promises is made here too, on purpose.
it('exports what it means to', () => {
  expect(Object.keys(kernels).sort()).toEqual([
    'BLOCK_POSITIONS',
    'BlockPool',
    'ExecutorUnavailableError',
    'GraphBuilder',
    'GraphError',
    'KvState',
    'NativeError',
    'StateError',
    'StateFullError',
    'createExecutor',
    'createState',
    'kvBlockBytes',
    'layoutWorkspace',
    'opInputs',
    'opOutputs',
    'opWeights',
    'ropeAngles',
  ]);
});
