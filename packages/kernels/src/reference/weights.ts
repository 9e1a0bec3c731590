import type { DType } from '@airllm/loader';
import type { WeightBytes } from '../executor';

/** Bytes of a weight looked at through one view; a host buffer gives out at most 1 GiB at once. */
const WINDOW_BYTES = 64 * 1024 * 1024;

export const FLOAT_DTYPES: readonly DType[] = ['F32', 'F16', 'BF16'];

/** A `[rows, columns]` weight (or part of one) in its stored format, decoded to float32 one row at a time. */
export class WeightMatrix {
  readonly #source: WeightBytes;
  readonly #rowBytes: number;
  readonly #decode: Decoder;
  readonly #row: Float32Array;
  readonly #rows: number;
  #window: Uint8Array = new Uint8Array(0);
  /** Rows of the window, [from, to). */
  #from = 0;
  #to = 0;

  constructor(source: WeightBytes, dtype: DType, rows: number, columns: number) {
    this.#source = source;
    this.#rows = rows;
    this.#rowBytes = columns * (dtype === 'F32' ? 4 : 2);
    this.#decode = decoderOf(dtype);
    this.#row = new Float32Array(columns);
  }

  /** Row r, valid until the next call. */
  row(r: number): Float32Array {
    if (r < this.#from || r >= this.#to) this.#move(r);
    this.#decode(this.#window, (r - this.#from) * this.#rowBytes, this.#row);
    return this.#row;
  }

  #move(r: number): void {
    const count = Math.max(1, Math.min(Math.floor(WINDOW_BYTES / this.#rowBytes), this.#rows - r));
    this.#from = r;
    this.#to = r + count;
    const { buffer, offset } = this.#source;
    this.#window = buffer.bytes(offset + r * this.#rowBytes, count * this.#rowBytes);
  }
}

/** Decodes `out.length` values that start at byte `at`, which may be any. */
type Decoder = (bytes: Uint8Array, at: number, out: Float32Array) => void;

function decoderOf(dtype: DType): Decoder {
  switch (dtype) {
    case 'F32':
      return decodeF32;
    case 'BF16':
      return decodeBf16;
    default:
      return decodeF16;
  }
}

const decodeF32: Decoder = (bytes, at, out) => {
  const start = bytes.byteOffset + at;
  if (start % 4 === 0) out.set(new Float32Array(bytes.buffer, start, out.length));
  else new Uint8Array(out.buffer).set(bytes.subarray(at, at + 4 * out.length));
};

const decodeBf16: Decoder = (bytes, at, out) => {
  const halves = halfWords(bytes, at, out.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < out.length; i++) bits[i] = halves[i]! << 16;
};

const decodeF16: Decoder = (bytes, at, out) => {
  const halves = halfWords(bytes, at, out.length);
  f16Table ??= makeF16Table();
  const table = f16Table;
  for (let i = 0; i < out.length; i++) out[i] = table[halves[i]!]!;
};

function halfWords(bytes: Uint8Array, at: number, count: number): Uint16Array {
  const start = bytes.byteOffset + at;
  if (start % 2 === 0) return new Uint16Array(bytes.buffer, start, count);
  return new Uint16Array(bytes.slice(at, at + 2 * count).buffer);
}

let f16Table: Float32Array | undefined;

/** Every binary16 pattern's value. */
function makeF16Table(): Float32Array {
  return Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
  });
}
