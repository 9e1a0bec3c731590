import { floats } from '@airllm/kernels';
import { groupOrder } from '../formats/shared/act-order';
import type { Codec, CodecCall } from '../source';
import { type BitRows, unpackBits } from './shared/bit-rows';

/**
 * How the codec `compressed-tensors` reads `weight` (words, or bytes), `scales`, `zeros` and `g_idx`. Codes and zero
 * points become unsigned, both by the same offset, which cancels out.
 */
export interface CompressedTensorsParams extends BitRows {
  readonly width: 4 | 8;
  /** Codes are signed bytes. */
  readonly signed: boolean;
  /** Bytes of a row's scales, or null where they come whole. */
  readonly scaleRowBytes: number | null;
  readonly zeros: ZeroPacking | null;
  readonly groups: number;
  readonly scale: 'F32' | 'F16' | 'BF16' | 'U8';
  /** `permuted`: columns are stored by their groups; `irregular`: groups differ in size, weights become float32. */
  readonly order: 'in order' | 'permuted' | 'irregular';
}

/** Zero points: signed bytes, or codes packed along the rows (`perWord` as in `BitRows`). */
export type ZeroPacking = { readonly kind: 'signed' } | { readonly kind: 'packed'; readonly perWord?: number };

export const compressedTensors: Codec = {
  name: 'compressed-tensors',

  rowStep: () => 1,

  convertRows(call) {
    const { from, read, out } = call;
    const { scaleRowBytes, width, order } = call.params as CompressedTensorsParams;
    const columns = call.shape[1]!;
    if (out.codes) {
      const wanted = order === 'permuted' ? groupOrder(groupIndex(call)) : undefined;
      unpack(call, width, wanted, out.codes);
    }
    if (out.scales) {
      out.scales.set(read('scales', scaleRowBytes === null ? 0 : from * scaleRowBytes, out.scales.length));
    }
    if (out.zeros) zeroPoints(call, out.zeros);
    if (out.columns)
      new Int32Array(out.columns.buffer, out.columns.byteOffset, columns).set(groupOrder(groupIndex(call)));
    if (out.dense) dense(call, out.dense);
  },
};

function groupIndex({ read, shape }: CodecCall): Int32Array {
  return new Int32Array(read('g_idx', 0, 4 * shape[1]!).slice().buffer);
}

/** Codes of rows [from, to). */
function unpack(call: CodecCall, width: 4 | 8, order: Int32Array | undefined, out: Uint8Array): void {
  const { params, shape, from, to, read } = call;
  const packing = params as CompressedTensorsParams;
  const rows = to - from;
  const columns = shape[1]!;
  if (packing.signed) {
    // Rows of bytes need not be whole words.
    const bytes = read('weight', from * columns, rows * columns);
    for (let at = 0; at < bytes.length; at += columns) {
      for (let i = 0; i < columns; i++) out[at + i] = bytes[at + (order === undefined ? i : order[i]!)]! ^ 0x80;
    }
    return;
  }
  const rowBytes = 4 * packing.rowWords;
  unpackBits(packing, read('weight', from * rowBytes, rows * rowBytes), { rows, columns, width, order }, out);
}

/** Zero points of rows [from, to), `[rows, groups]`, or all where they come whole. */
function zeroPoints({ params, from, read }: CodecCall, out: Uint8Array): void {
  const { bits, groups, zeros, scaleRowBytes } = params as CompressedTensorsParams;
  const first = scaleRowBytes === null ? 0 : from;
  const half = 2 ** (bits - 1);
  if (zeros!.kind === 'signed') {
    const bytes = read('zeros', first * groups, out.length);
    // Signed bytes come out of range only where the file is damaged; as codes they wrap as bytes do.
    for (let i = 0; i < out.length; i++) out[i] = bytes[i]! + half;
    return;
  }
  const { perWord } = zeros as { perWord?: number };
  const mask = 2 ** bits - 1;
  const rows = out.length / groups;
  const wordOf = (row: number) => (perWord === undefined ? Math.floor((row * bits) / 32) : Math.floor(row / perWord));
  const shiftOf = (row: number) => (perWord === undefined ? (row * bits) % 32 : (row % perWord) * bits);
  const begin = wordOf(first);
  const lastBit = shiftOf(first + rows - 1) + bits;
  const end = wordOf(first + rows - 1) + (lastBit > 32 ? 2 : 1);
  const words = new Uint32Array(read('zeros', 4 * begin * groups, 4 * (end - begin) * groups).slice().buffer);
  for (let row = 0, to = 0; row < rows; row++) {
    const shift = shiftOf(first + row);
    const at = (wordOf(first + row) - begin) * groups;
    const over = shift + bits > 32;
    for (let g = 0; g < groups; g++) {
      const low = words[at + g]! >>> shift;
      out[to++] = (over ? low | (words[at + groups + g]! << (32 - shift)) : low) & mask;
    }
  }
}

/** Weights themselves, for groups that no blocks can express. */
function dense(call: CodecCall, out: Uint8Array): void {
  const { params, shape, from, to, read } = call;
  const { bits, groups, scale, zeros } = params as CompressedTensorsParams;
  const columns = shape[1]!;
  const rows = to - from;
  const codes = new Uint8Array(rows * columns);
  unpack(call, 8, undefined, codes);
  const zero = new Uint8Array(rows * groups).fill(2 ** (bits - 1));
  if (zeros !== null) zeroPoints(call, zero);
  const scaleBytes = (scale === 'F32' ? 4 : 2) * groups;
  const scales = floats(scale, read('scales', from * scaleBytes, rows * scaleBytes));
  const group = groupIndex(call);
  const weights = new Float32Array(out.buffer, out.byteOffset, rows * columns);
  for (let row = 0; row < rows; row++) {
    const own = row * groups;
    const at = row * columns;
    for (let k = 0; k < columns; k++) {
      const g = own + group[k]!;
      weights[at + k] = (codes[at + k]! - zero[g]!) * scales[g]!;
    }
  }
}
