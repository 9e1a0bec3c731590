import { it } from 'vitest';
import { executorConformance } from '../conformance/suite';
import { OnnxExecutor } from './onnx-executor';

// Run in a process that was started with a GPU to be found: see webgpu.test.ts, and the README.
const ready = process.env.AIRLLM_TEST_GPU !== undefined;
const open = () => OnnxExecutor.open({ provider: 'webgpu' });

/** Codes that stay codes on the device, with and without zeros and another order, and what is decoded before it. */
const PACKED = [
  ...['Q4_0, 7 x 256', 'AWQ, 33 x 192', 'GPTQ, 7 x 256', 'Q8_0, 9 x 320'],
  ...[
    'bitsandbytes NF4, nested, 9 x 320',
    'bitsandbytes FP4, rows alone, 9 x 320',
    'FP8 blocks, 2 x 33',
    'Q8_0, 5 x 64',
  ],
];
/** Without weights; those that have some are run with bf16 ones. */
const PLAIN = ['rope', 'gated', 'activation', 'softcap', 'split', 'add', 'mul', 'scale'];
const WEIGHTED = [
  ...['embed', 'rmsNorm', 'layerNorm', 'linear 3 x 33', 'linear 33 x 129', 'linear into the buffer it reads, out,in'],
  ...['experts, 2 of 4', 'experts, ties', 'attention, sinks, window', 'a llama layer, B', 'a mixture', 'a gpt-oss'],
  'a gemma layer, keys and values in int8',
];
const ATTENTION = ['33 keys, F32', 'odd widths, F32', 'softcap', 'three sequences, window, F32', 'window of 33, int8'];
const BEGUN = ['33 keys, bfloat16', 'first visible position, F32'];

/** A software GPU compiles a shader in about as long as all of a case takes the CPU: one case of a kind is enough. */
function takes(title: string): boolean {
  const begins = (names: readonly string[]) => names.some((name) => title.startsWith(name));
  if (begins(WEIGHTED)) return title.endsWith(', BF16');
  return begins([...PLAIN, ...PACKED, ...[...ATTENTION, ...BEGUN].map((name) => `attention, ${name}`)]);
}

if (ready) {
  const limits = { op: 1e-4, passes: 1e-4, layer: 1e-3, threads: [1], takes, onlyDevice: true };
  executorConformance('onnx webgpu', open, [], ['float32'], limits);
} else it.skip('onnx webgpu is run by webgpu.test.ts');
