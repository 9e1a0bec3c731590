import { floats } from '@airllm/kernels';
import type { Codec, CodecCall } from '../source';

/** How the codec `bitsandbytes-4bit` reads its inputs: `weight`, `absmax` and, of nested ones, `supers`. */
export interface Bitsandbytes4bitParams {
  readonly blockSize: number;
  /** 16 numbers. */
  readonly table: readonly number[];
  /** Of `absmax`, where it is not nested. */
  readonly scale: 'F32' | 'F16' | 'BF16' | 'U8';
  readonly nested?: { readonly blockSize: number; readonly table: readonly number[]; readonly offset: number };
}

/** NF4 and FP4 whose rows begin in the middle of a byte, as float32: codebook[code] · absmax, high nibble first. */
export const bitsandbytes4bit: Codec = {
  name: 'bitsandbytes-4bit',

  rowStep: () => 1,

  convertRows(call) {
    const { dense } = call.out;
    if (dense === undefined) return;
    const params = call.params as Bitsandbytes4bitParams;
    const columns = call.shape.at(-1)!;
    const out = new DataView(dense.buffer, dense.byteOffset, dense.byteLength);
    for (let row = call.from; row < call.to; row++) {
      const first = row * columns;
      const firstBlock = Math.floor(first / params.blockSize);
      const scales = absmaxOf(call, params, firstBlock, Math.floor((first + columns - 1) / params.blockSize) + 1);
      const firstByte = Math.floor(first / 2);
      const codes = call.read('weight', firstByte, Math.ceil((first + columns) / 2) - firstByte);
      for (let k = 0; k < columns; k++) {
        const at = first + k;
        const byte = codes[Math.floor(at / 2) - firstByte]!;
        const code = at % 2 === 0 ? byte >> 4 : byte & 15;
        const scale = scales[Math.floor(at / params.blockSize) - firstBlock]!;
        out.setFloat32(4 * ((row - call.from) * columns + k), Math.fround(params.table[code]! * scale), true);
      }
    }
  },
};

/** Scales of blocks [from, to), each step rounded to float32. */
function absmaxOf(call: CodecCall, params: Bitsandbytes4bitParams, from: number, to: number): Float32Array {
  const { nested, scale } = params;
  if (nested === undefined) {
    const width = scale === 'F32' ? 4 : 2;
    return floats(scale, call.read('absmax', from * width, (to - from) * width));
  }
  const numbers = Float32Array.from(call.read('absmax', from, to - from), (code) => nested.table[code]!);
  const firstSuper = Math.floor(from / nested.blockSize);
  const superCount = Math.floor((to - 1) / nested.blockSize) + 1 - firstSuper;
  const supers = floats('F32', call.read('supers', 4 * firstSuper, 4 * superCount));
  return numbers.map((number, i) => {
    const scaled = Math.fround(number * supers[Math.floor((from + i) / nested.blockSize) - firstSuper]!);
    return scaled + nested.offset;
  });
}
