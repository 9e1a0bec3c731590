import { floats } from '@airllm/kernels';
import { dtypeBits } from '@airllm/loader';
import { bfloat16Bits } from './bfloat16';
import { BlockQuantiser, PLACE, SEGMENT_BLOCKS } from './block-quantiser';
import { BLOCK, type Compression } from './kinds';

export type FloatDType = 'F32' | 'F16' | 'BF16';

/** Where a row's components go, from its first byte on; only those that are wanted. */
export interface RowOut {
  readonly codes?: Uint8Array | undefined;
  readonly scales?: Uint8Array | undefined;
  readonly zeros?: Uint8Array | undefined;
}

const SEGMENT = SEGMENT_BLOCKS * BLOCK;

/** One per thread: compiling takes longer than a row. They keep nothing from one segment to the next. */
const quantisers = new Map<Compression, BlockQuantiser>();

function blockQuantiser(kind: Compression): BlockQuantiser {
  const known = quantisers.get(kind) ?? new BlockQuantiser(kind);
  quantisers.set(kind, known);
  return known;
}

/** Quantises the rows of one matrix, and adds up what that changes. */
export class RowQuantiser {
  /** Sums of squares over all rows so far: what was lost, and what there was. */
  squaredError = 0;
  squaredNorm = 0;
  readonly codesPerByte: 1 | 2;
  readonly #columns: number;
  readonly #dtype: FloatDType;
  readonly #blocks: BlockQuantiser;
  readonly #bytes: Uint8Array;
  readonly #weights: Float32Array;

  constructor(kind: Compression, columns: number, dtype: FloatDType) {
    this.#columns = columns;
    this.#dtype = dtype;
    this.#blocks = blockQuantiser(kind);
    const { buffer } = this.#blocks.kernels.memory;
    this.#bytes = new Uint8Array(buffer);
    this.#weights = new Float32Array(buffer, PLACE.weights, SEGMENT);
    this.codesPerByte = kind === '8bit' ? 1 : 2;
  }

  /** `row`: as stored. False if it holds a weight that is not finite. */
  run(row: Uint8Array, out: RowOut): boolean {
    const width = dtypeBits(this.#dtype) / 8;
    for (let from = 0; from < this.#columns; from += SEGMENT) {
      const count = Math.min(SEGMENT, this.#columns - from);
      this.#load(row.subarray(from * width, (from + count) * width), count);
      if (!this.#segment(from / BLOCK, Math.ceil(count / BLOCK), out)) return false;
      if (out.codes !== undefined) this.#unload(out.codes, from, count);
    }
    return true;
  }

  /** Brings weights into the kernels' memory, as float32; zeros fill up the last block. */
  #load(stored: Uint8Array, count: number): void {
    const whole = Math.ceil(count / BLOCK) * BLOCK;
    if (this.#dtype === 'BF16') {
      this.#bytes.set(stored, PLACE.stored);
      this.#bytes.fill(0, PLACE.stored + 2 * count, PLACE.stored + 2 * whole);
      for (let at = 0; at < whole; at += BLOCK) {
        this.#blocks.kernels.widen(PLACE.stored + 2 * at, PLACE.weights + 4 * at);
      }
    } else {
      if (this.#dtype === 'F32') this.#bytes.set(stored, PLACE.weights);
      else this.#weights.set(floats('F16', stored));
      this.#weights.fill(0, count, whole);
    }
  }

  #segment(first: number, count: number, out: RowOut): boolean {
    const blocks = this.#blocks;
    for (let i = 0; i < count; i++) {
      if (!blocks.run(PLACE.weights + i * BLOCK * 4, PLACE.codes + i * BLOCK)) return false;
      this.squaredError += blocks.error;
      this.squaredNorm += blocks.norm;
      if (out.scales !== undefined) {
        const bits = bfloat16Bits(blocks.scale);
        out.scales[2 * (first + i)] = bits & 255;
        out.scales[2 * (first + i) + 1] = bits >> 8;
      }
      if (out.zeros !== undefined) out.zeros[first + i] = blocks.zero;
    }
    return true;
  }

  #unload(codes: Uint8Array, from: number, count: number): void {
    if (this.codesPerByte === 1) {
      codes.set(this.#bytes.subarray(PLACE.codes, PLACE.codes + count), from);
      return;
    }
    for (let at = 0; at < count; at += BLOCK) {
      this.#blocks.kernels.nibbles(PLACE.codes + at, PLACE.nibbles + at / 2);
    }
    codes.set(this.#bytes.subarray(PLACE.nibbles, PLACE.nibbles + count / 2), from / 2);
  }
}
