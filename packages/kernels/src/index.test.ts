import { expect, it } from 'vitest';
import * as kernels from './index';

// Every change to what the package promises is made here too, on purpose.
it('exports what it means to', () => {
  expect(Object.keys(kernels).sort()).toEqual([
    'BLOCK_POSITIONS',
    'BlockPool',
    'COMPONENTS',
    'E2M1',
    'E4M3',
    'E8M0',
    'ExecutorUnavailableError',
    'GraphBuilder',
    'GraphError',
    'KvState',
    'NativeError',
    'PackedDecoder',
    'PackedTensor',
    'SIGNED',
    'StateError',
    'StateFullError',
    'UNSIGNED',
    'blockCount',
    'blocksPerRow',
    'codeBits',
    'componentShape',
    'componentShapes',
    'componentsOf',
    'constantPlaces',
    'constantsTensor',
    'createExecutor',
    'createState',
    'floats',
    'isSliced',
    'kvBlockBytes',
    'layoutWorkspace',
    'opInputs',
    'opOutputs',
    'opWeights',
    'ropeAngles',
  ]);
});
