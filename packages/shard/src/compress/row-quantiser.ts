import { type Block, bfloat16Bits, ROUND } from './block-search';
import { BLOCK, type Compression, NF4 } from './kinds';
import { type BlockCode, nearestNf4, search4bit, search8bit, searchNf4 } from './quantise-block';

/** Where a row's components go, from its first byte on; only those that are wanted. */
export interface RowsOut {
  readonly codes?: Uint8Array | undefined;
  readonly scales?: Uint8Array | undefined;
  readonly zeros?: Uint8Array | undefined;
}

const SEARCH = { '8bit': search8bit, '4bit': search4bit, nf4: searchNf4 } as const;

/** Quantises the rows of one matrix, and adds up what that changes. */
export class RowQuantiser {
  /** Of what was quantised so far, unweighted. */
  squaredError = 0;
  squaredNorm = 0;
  readonly codesPerByte: 1 | 2;
  readonly #kind: Compression;
  readonly #columns: number;
  readonly #importance: Float32Array;
  readonly #code: BlockCode = { scale: 1, zero: 0, error: 0 };
  readonly #numbers: Uint8Array;

  /** `importance`: of each column; null for all the same. */
  constructor(kind: Compression, columns: number, importance: Float32Array | null) {
    this.#kind = kind;
    this.#columns = columns;
    this.#importance = importance ?? new Float32Array(columns).fill(1);
    this.#numbers = new Uint8Array(columns);
    this.codesPerByte = kind === '8bit' ? 1 : 2;
  }

  /** Throws `RangeError` for a weight that is no number; `where` is for its text. */
  row(weights: Float32Array, out: RowsOut, where: () => string): void {
    const code = this.#code;
    const search = SEARCH[this.#kind];
    for (let block = 0, from = 0; from < this.#columns; block++, from += BLOCK) {
      const to = Math.min(this.#columns, from + BLOCK);
      search({ weights, importance: this.#importance, from, to }, code);
      this.#encode({ weights, importance: this.#importance, from, to }, where);
      if (out.scales !== undefined) {
        const stored = bfloat16Bits(code.scale);
        out.scales[2 * block] = stored & 255;
        out.scales[2 * block + 1] = stored >> 8;
      }
      if (out.zeros !== undefined) out.zeros[block] = code.zero;
    }
    if (out.codes !== undefined) this.#pack(out.codes);
  }

  #encode({ weights, from, to }: Block, where: () => string): void {
    const { scale, zero } = this.#code;
    const numbers = this.#numbers;
    const inverse = 1 / scale;
    const is8bit = this.#kind === '8bit';
    const low = is8bit ? -127 : -zero;
    const high = is8bit ? 127 : 15 - zero;
    let error = 0;
    let norm = 0;
    for (let i = from; i < to; i++) {
      const weight = weights[i]!;
      let value: number;
      if (this.#kind === 'nf4') {
        const which = nearestNf4(weight * inverse);
        numbers[i] = which;
        value = NF4[which]! * scale;
      } else {
        let number = weight * inverse + ROUND - ROUND;
        if (number < low) number = low;
        else if (number > high) number = high;
        numbers[i] = number + zero;
        value = number * scale;
      }
      error += (value - weight) ** 2;
      norm += weight * weight;
    }
    if (!Number.isFinite(norm)) throw new RangeError(`${where()} holds a weight that is no finite number`);
    this.squaredError += error;
    this.squaredNorm += norm;
  }

  #pack(codes: Uint8Array): void {
    const numbers = this.#numbers;
    if (this.codesPerByte === 1) {
      codes.set(numbers);
      return;
    }
    for (let i = 0; i < numbers.length / 2; i++) codes[i] = numbers[2 * i]! | (numbers[2 * i + 1]! << 4);
  }
}
