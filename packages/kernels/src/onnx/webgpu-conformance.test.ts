import { it } from 'vitest';
import { executorConformance } from '../conformance/suite';
import { OnnxExecutor } from './onnx-executor';

// Run in a process that was started with a GPU to be found: see webgpu.test.ts, and the README.
const ready = process.env.AIRLLM_TEST_GPU !== undefined;
const open = () => OnnxExecutor.open({ provider: 'webgpu' });

/** Codes that stay codes on the device, with and without zeros and another order, and what is decoded before it. */
const PACKED = [
  ...['Q4_0, 7 x 256', 'AWQ, 33 x 192', 'GPTQ, 7 x 256', 'Q8_0, 9 x 320'],
  ...['bitsandbytes NF4, nested, 9 x 320', 'FP8 blocks, 2 x 33', 'Q8_0, 5 x 64'],
];
/** Long contexts and the dtypes of a state are what attention does otherwise; the rest of it is the same session. */
const ATTENTION = ['33 keys,', 'eight heads on one', 'odd widths', 'softcap', 'window of 5', 'three sequences, window'];
const STATES = ['first visible position, ', '33 keys, bfloat16', 'window of 33, int8', 'sinks, window of 5, F32'];
const OPS = ['embed', 'rmsNorm', 'layerNorm', 'rope', 'gated', 'activation', 'softcap', 'route', 'split', 'add'];
const LINEAR = ['linear 3 x 33', 'linear 33 x 129', 'linear into the buffer it reads, out,in'];

/** A software GPU compiles a shader in about as long as all of a case takes the CPU: one case of a kind is enough. */
function takes(title: string): boolean {
  const begins = (names: readonly string[]) => names.some((name) => title.startsWith(name));
  if (title.startsWith('attention, ')) return begins([...ATTENTION, ...STATES].map((name) => `attention, ${name}`));
  if (title.startsWith('a ')) return title.endsWith('BF16') && !title.includes('bfloat16');
  if (begins(['experts, 4'])) return title.endsWith('BF16');
  if (begins([...OPS, ...LINEAR, 'experts', 'mul', 'scale'])) return !title.endsWith(' F16');
  return begins(PACKED);
}

if (ready) {
  const limits = { op: 1e-4, passes: 1e-4, layer: 1e-3, threads: [1], takes, onlyDevice: true };
  executorConformance('onnx webgpu', open, [], ['float32'], limits);
} else it.skip('onnx webgpu is run by webgpu.test.ts');
