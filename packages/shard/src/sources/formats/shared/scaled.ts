import { type BlockNumbers, E8M0, type PackedFormat, type PackedTensor } from '@airllm/kernels';
import type { MetaTensor } from '@airllm/loader';
import type { ConstantPool } from './constants';
import { checkDType, malformed, packed, viewed } from './tensors';

/** Weights that share a scale: `[rows, columns]`. */
export type BlockShape = readonly [rows: number, columns: number];

/** `[N, K]` of a matrix of one-byte codes that has at least one element. */
export function matrixShape(weight: MetaTensor): readonly [rows: number, columns: number] {
  const [rows, columns] = weight.shape;
  if (weight.shape.length !== 2 || weight.elementCount === 0) {
    malformed(weight, `its shape is [${weight.shape.join(', ')}], expected a matrix`);
  }
  return [rows!, columns!];
}

/** Scales along each dimension; the last block may be short. */
export function scaleCounts(shape: BlockShape, block: BlockShape): readonly [rows: number, columns: number] {
  return [Math.ceil(shape[0] / block[0]), Math.ceil(shape[1] / block[1])];
}

/**
 * w = code · scale, with codes and scales as stored: one byte per weight (`F8_E4M3` or `I8`), and scales that are floats
 * or powers of two (`F8_E8M0`, or the same in U8). The product is rounded once, to float32: scales in bfloat16 are not
 * rounded with.
 */
export function scaledBytes(
  name: string,
  weight: MetaTensor,
  scales: MetaTensor,
  block: BlockShape,
  pool: ConstantPool,
): PackedTensor {
  const shape = matrixShape(weight);
  checkDType(weight, ['F8_E4M3', 'I8']);
  const counts = scaleCounts(shape, block);
  const count = counts[0] * counts[1];
  if (scales.elementCount !== count) {
    malformed(
      scales,
      `its shape is [${scales.shape.join(', ')}], expected ${count === 1 ? 'one number' : `[${counts.join(', ')}]`}: ` +
        `one for each ${block.join(' by ')} weights of ${weight.name} [${shape.join(', ')}]`,
    );
  }
  const scale = scaleNumbers(scales);
  const format: PackedFormat = {
    code: weight.dtype === 'I8' ? 'i8' : 'e4m3',
    block: { rows: block[0], columns: block[1] },
    scale,
  };
  const rowwise = block[0] === 1;
  return packed(weight, {
    name,
    shape,
    format,
    components: {
      codes: weight,
      scales: viewed(scales, { dtype: scale.dtype, shape: rowwise ? counts : [count] }),
      ...(scale.dtype === 'U8' && { constants: pool.tensor(`${name}.constants`, format, { table8: E8M0 }) }),
    },
  });
}

/** How scales of this dtype are read; U8 are powers of two (E8M0). */
function scaleNumbers(scales: MetaTensor): BlockNumbers {
  checkDType(scales, ['F32', 'F16', 'BF16', 'F8_E8M0', 'U8']);
  const { dtype } = scales;
  return { dtype: dtype === 'F32' || dtype === 'F16' || dtype === 'BF16' ? dtype : 'U8' };
}
