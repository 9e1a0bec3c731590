import type { PackedWeightSpec } from '../graph/graph';

/** How a quantised matrix is kept for onnxruntime's MatMulNBits: codes and scales as they are, one scale per block. */
export interface PackedForm {
  readonly bits: 4 | 8;
  /** Columns of a block. */
  readonly block: number;
  /** Whether each block has a zero of its own; else it is the middle of the codes. */
  readonly zeros: boolean;
  /** Whether activations are brought into the order of the stored columns first. */
  readonly permutes: boolean;
}

const BLOCKS = [16, 32, 64, 128, 256];

/** The form of a format that MatMulNBits computes exactly what it means; undefined for those that are decoded. */
export function packedForm({ format, columns }: PackedWeightSpec): PackedForm | undefined {
  const { code, block, flat, zero, offset } = format;
  const blocks = block.rows === 1 && !flat && BLOCKS.includes(block.columns) && columns % block.columns === 0;
  if (!blocks || offset !== undefined || code === 'table4' || code === 'e4m3') return undefined;
  const bits = code === 'u4' ? 4 : 8;
  // Signed bytes are moved up by 128.
  const middle = code === 'i8' ? 0 : 2 ** (bits - 1);
  const zeros = typeof zero === 'object';
  if (zeros && (zero.dtype !== 'U8' || code === 'i8')) return undefined;
  if (!zeros && (zero ?? 0) !== middle) return undefined;
  return { bits, block: block.columns, zeros, permutes: format.columns === true };
}

/** Bytes of `rows` rows of such a matrix: codes, float32 scales, zeros. */
export function packedBytes({ bits, block, zeros, permutes }: PackedForm, rows: number, columns: number): number {
  const blocks = columns / block;
  const zeroBytes = zeros ? Math.ceil((blocks * bits) / 8) : 0;
  return rows * ((columns * bits) / 8 + 4 * blocks + zeroBytes) + (permutes ? 4 * columns : 0);
}
