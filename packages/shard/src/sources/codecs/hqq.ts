import type { Codec, CodecCall } from '../source';
import { manyFloats } from './shared/many-floats';

/** How the codec `hqq` reads `weight`, `scale` and `zero`. */
export interface HqqParams {
  readonly bits: 1 | 2 | 3 | 4 | 8;
  /** Codes in an element: the first part of the flattened matrix in the highest bits, the last in the lowest. */
  readonly perElement: number;
  /** Codes of a part: code i of it is in element i. */
  readonly partCodes: number;
  readonly width: 4 | 8;
  readonly scale: 'F32' | 'F16' | 'BF16';
  readonly zero: 'F32' | 'F16' | 'BF16';
  /** Numbers of `scale`, and of `zero`. */
  readonly count: number;
  /** Whether every row has numbers of its own; else they come whole. */
  readonly rowwise: boolean;
}

/** Codes at a time: enough to hide what a read costs. */
const RUN = 1 << 16;

export const hqq: Codec = {
  name: 'hqq',

  rowStep: () => 1,

  convertRows(call) {
    const { out, from, to, shape } = call;
    const columns = shape[1]!;
    const { width } = call.params as HqqParams;
    const end = to * columns;
    const run = new Uint32Array(Math.ceil(Math.min(RUN, end - from * columns) / 4));
    const codes = new Uint8Array(run.buffer);
    for (let at = from * columns; at < end && (out.codes ?? out.dense); at += RUN) {
      const count = Math.min(RUN, end - at);
      unpack(call, at, codes.subarray(0, count));
      const done = at - from * columns;
      if (out.dense)
        weights(
          call,
          codes.subarray(0, count),
          at,
          new Float32Array(out.dense.buffer, out.dense.byteOffset + 4 * done, count),
        );
      else if (width === 8) out.codes!.set(codes.subarray(0, count), done);
      else joinPairs(run, out.codes!.subarray(done / 2, (done + count) / 2));
    }
    if (out.scales) out.scales.set(numbers(call, 'scale', out.scales.length));
    if (out.zeros) out.zeros.set(numbers(call, 'zero', out.zeros.length));
  },
};

/** Bytes of the scales or zero points of a call's rows, or all of them. */
function numbers({ params, from, to, read }: CodecCall, input: string, length: number): Uint8Array {
  const { rowwise } = params as HqqParams;
  return read(input, rowwise ? (from * length) / (to - from) : 0, length);
}

/** Codes from `first` on of the flattened matrix, a byte each. */
function unpack({ params, read }: CodecCall, first: number, out: Uint8Array): void {
  const { bits, perElement, partCodes } = params as HqqParams;
  for (let done = 0; done < out.length; ) {
    const part = Math.floor((first + done) / partCodes);
    const from = (first + done) % partCodes;
    const count = Math.min(out.length - done, partCodes - from);
    const shift = (perElement - 1 - part) * bits;
    const to = out.subarray(done, done + count);
    if (perElement === 10) shiftWords(read('weight', 4 * from, 4 * count), shift, to);
    else shiftBytes(read('weight', from, count), shift, 2 ** bits - 1, to);
    done += count;
  }
}

/** Codes of 3 bits, ten to a word. */
function shiftWords(bytes: Uint8Array, shift: number, out: Uint8Array): void {
  const words = new Uint32Array(bytes.slice().buffer);
  for (let i = 0; i < out.length; i++) out[i] = (words[i]! >>> shift) & 7;
}

/** A field of every byte, four at a time. */
function shiftBytes(bytes: Uint8Array, shift: number, mask: number, out: Uint8Array): void {
  const words = new Uint32Array((bytes.length + 3) >> 2);
  const fields = new Uint8Array(words.buffer);
  fields.set(bytes);
  const everyMask = mask * 0x01010101;
  for (let i = 0; i < words.length; i++) words[i] = (words[i]! >>> shift) & everyMask;
  out.set(fields.subarray(0, out.length));
}

/** Two codes to a byte, four at a time; `codes` may hold more than are wanted. */
function joinPairs(codes: Uint32Array, out: Uint8Array): void {
  const pairs = new Uint16Array((out.length + 1) >> 1);
  for (let i = 0; i < pairs.length; i++) {
    const v = codes[i]!;
    pairs[i] = (v & 0x000f) | ((v >>> 4) & 0x00f0) | ((v >>> 8) & 0x0f00) | ((v >>> 12) & 0xf000);
  }
  out.set(new Uint8Array(pairs.buffer).subarray(0, out.length));
}

/** Weights of groups that lie across rows: number i belongs to the weights whose place is i modulo `count`. */
function weights({ params, read }: CodecCall, codes: Uint8Array, first: number, out: Float32Array): void {
  const { scale, zero, count } = params as HqqParams;
  const sizeOf = (dtype: string) => (dtype === 'F32' ? 4 : 2);
  for (let done = 0; done < codes.length; ) {
    const from = (first + done) % count;
    const here = Math.min(codes.length - done, count - from);
    const scales = manyFloats(scale, read('scale', from * sizeOf(scale), here * sizeOf(scale)));
    const zeros = manyFloats(zero, read('zero', from * sizeOf(zero), here * sizeOf(zero)));
    for (let i = 0; i < here; i++) out[done + i] = Math.fround(codes[done + i]! - zeros[i]!) * scales[i]!;
    done += here;
  }
}
