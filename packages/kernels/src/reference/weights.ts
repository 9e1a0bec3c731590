import type { DType } from '@airllm/loader';
import type { WeightBytes } from '../executor';

/** Bytes of a weight looked at at once: what lies at an odd address is copied, so this bounds the copy. */
const WINDOW_BYTES = 1024 * 1024;

/** Formats this executor decodes. */
export const FLOAT_DTYPES: readonly DType[] = ['F32', 'F16', 'BF16'];

/** A `[rows, columns]` weight (or part of one) in its stored format, decoded to float32 one row at a time. */
export class WeightMatrix {
  readonly #source: WeightBytes;
  readonly #dtype: DType;
  readonly #rows: number;
  readonly #columns: number;
  readonly #itemBytes: number;
  readonly #row: Float32Array;
  readonly #rowBits: Uint32Array;
  #window: Float32Array | Uint16Array = new Uint16Array(0);
  /** Rows of the window, [from, to). */
  #from = 0;
  #to = 0;

  constructor(source: WeightBytes, dtype: DType, rows: number, columns: number) {
    this.#source = source;
    this.#dtype = dtype;
    this.#rows = rows;
    this.#columns = columns;
    this.#itemBytes = dtype === 'F32' ? 4 : 2;
    this.#row = new Float32Array(columns);
    this.#rowBits = new Uint32Array(this.#row.buffer);
  }

  /** Row r, valid until the next call; not to be written to. */
  row(r: number): Float32Array {
    if (r < this.#from || r >= this.#to) this.#move(r);
    const at = (r - this.#from) * this.#columns;
    const window = this.#window;
    if (window instanceof Float32Array) return window.subarray(at, at + this.#columns);
    if (this.#dtype === 'BF16') this.#decodeBf16(window, at);
    else this.#decodeF16(window, at);
    return this.#row;
  }

  #decodeBf16(window: Uint16Array, at: number): void {
    const bits = this.#rowBits;
    for (let i = 0; i < bits.length; i++) bits[i] = window[at + i]! << 16;
  }

  #decodeF16(window: Uint16Array, at: number): void {
    const row = this.#row;
    const table = f16Values();
    for (let i = 0; i < row.length; i++) row[i] = table[window[at + i]!]!;
  }

  #move(r: number): void {
    const rowBytes = this.#columns * this.#itemBytes;
    const count = Math.max(1, Math.min(Math.floor(WINDOW_BYTES / rowBytes), this.#rows - r));
    this.#from = r;
    this.#to = r + count;
    const { buffer, offset } = this.#source;
    let bytes = buffer.bytes(offset + r * rowBytes, count * rowBytes);
    if (bytes.byteOffset % this.#itemBytes !== 0) bytes = bytes.slice();
    const length = count * this.#columns;
    const { buffer: memory, byteOffset: at } = bytes;
    this.#window = this.#dtype === 'F32' ? new Float32Array(memory, at, length) : new Uint16Array(memory, at, length);
  }
}

let f16Table: Float32Array | undefined;

/** The value of every binary16 pattern. */
function f16Values(): Float32Array {
  f16Table ??= Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
  });
  return f16Table;
}
