import { type BlockNumbers, E4M3, E8M0 } from '@airllm/kernels';
import type { MetaTensor } from '@airllm/loader';
import type { Schemes } from './compressed-tensors-schemes';
import { scaledE4M3 } from './shared/constants';
import { type BlockShape, scaleCounts } from './shared/scaled';
import { checkDType, malformed } from './shared/tensors';

/** Which weights of `[N, K]` share one of these scales: told by their count, and by the configuration where that fits. */
export function blockOf(shape: BlockShape, scales: MetaTensor, schemes: Schemes): BlockShape {
  const [rows, columns] = shape;
  const found = scales.shape;
  const like = (counts: readonly number[]) => counts.length === found.length && counts.every((n, i) => n === found[i]);
  const block = schemes.blocks.find((known) => like(scaleCounts(shape, known)));
  if (block !== undefined) return block;
  if (like([rows, 1]) || like([rows])) return [1, columns];
  if (scales.elementCount === 1) return shape;
  const [first, groups = 0] = found;
  if (found.length === 2 && first === rows && groups > 0) {
    const size = [...schemes.groups, Math.ceil(columns / groups)].find(
      (known) => Math.ceil(columns / known) === groups,
    );
    if (size !== undefined) return [1, size];
  }
  return malformed(
    scales,
    `its shape is [${found.join(', ')}], expected one number, [${rows}, 1], or [${rows}, groups] for weights of shape ` +
      `[${rows}, ${columns}]`,
  );
}

export interface ScaleNumbers {
  readonly numbers: BlockNumbers;
  readonly table8?: Float32Array;
}

/** How scales are read: floats, FP8 divided by the matrix's own `global`, or powers of two. */
export function scaleNumbers(scales: MetaTensor, global?: number): ScaleNumbers {
  checkDType(scales, ['F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E8M0', 'U8']);
  const { dtype } = scales;
  if (dtype === 'F8_E4M3') {
    return { numbers: { dtype: 'U8' }, table8: global === undefined ? E4M3 : scaledE4M3((number) => number / global) };
  }
  if (global !== undefined) malformed(scales, `its dtype is ${dtype}, expected F8_E4M3, since it has a global scale`);
  if (dtype === 'F8_E8M0' || dtype === 'U8') return { numbers: { dtype: 'U8' }, table8: E8M0 };
  return { numbers: { dtype: dtype as 'F32' | 'F16' | 'BF16' } };
}
