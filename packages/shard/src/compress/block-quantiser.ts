import { toBfloat16 } from './bfloat16';
import { BLOCK, type Compression, NF4 } from './kinds';
import { tableOf, type VectorKernels, vectorKernels } from './vector-kernels';

/** Blocks that are brought into the kernels' memory at a time. */
export const SEGMENT_BLOCKS = 64;

/** Bytes in the kernels' memory. */
export const PLACE = {
  /** Float32 of a segment. */
  weights: 0,
  /** The same as stored in bfloat16. */
  stored: SEGMENT_BLOCKS * BLOCK * 4,
  codes: SEGMENT_BLOCKS * BLOCK * 6,
  nibbles: SEGMENT_BLOCKS * BLOCK * 7,
  importances: SEGMENT_BLOCKS * BLOCK * 8,
  result: SEGMENT_BLOCKS * BLOCK * 8 + BLOCK * 4,
  table: SEGMENT_BLOCKS * BLOCK * 8 + BLOCK * 4 + 32,
} as const;

/** Parts of the whole range: a scale that clips the outermost weights a little serves the others better. */
const RANGES = [1, 0.95, 0.9, 0.85, 0.8, 0.75];
/** 8 bits gain nothing by clipping, but by where the grid's points fall. */
const LARGEST_CODES = [127, 126.5];
/** Below it scales have no bfloat16; nothing a model computes with is that small. */
const SMALLEST = 2 ** -110;

/**
 * Finds for a block of 64 weights the scale (and zero point) that leaves the smallest squared error, and its codes.
 *
 * In 4-bit integers the error of a weight w counts √(1 + w² / mean w²) times, as in llama.cpp: the larger weights of a
 * row are those that its inputs matter to. On two small models that lowered perplexity; in 8 bits and NF4 it made no
 * clear difference, so there all weights count alike.
 */
export class BlockQuantiser {
  readonly kernels: VectorKernels = vectorKernels();
  /** Of the block that was quantised last: a bfloat16, and the code that means 0. */
  scale = 1;
  zero = 0;
  /** Sums of squares of it: what was lost, and what there was. */
  error = 0;
  norm = 0;
  readonly #kind: Compression;
  readonly #results: Float32Array;
  #best = 0;
  #weights = 0;

  constructor(kind: Compression) {
    this.#kind = kind;
    const { buffer } = this.kernels.memory;
    this.#results = new Float32Array(buffer, PLACE.result, 8);
    new Float32Array(buffer, PLACE.table, 31).set(tableOf(NF4));
    new Float32Array(buffer, PLACE.importances, BLOCK).fill(1);
  }

  /** The block whose weights are at `weights`; its codes, a byte each, go to `codes`. False if one is not finite. */
  run(weights: number, codes: number): boolean {
    const { kernels } = this;
    const squares = kernels.range(weights, PLACE.result);
    const results = this.#results;
    const low = Math.min(results[0]!, results[1]!, results[2]!, results[3]!);
    const high = Math.max(results[4]!, results[5]!, results[6]!, results[7]!);
    const largest = Math.max(high, -low);
    this.#weights = weights;
    this.scale = 1;
    this.zero = 0;
    this.#best = Number.POSITIVE_INFINITY;
    this.norm = squares;
    // Where squares leave what float32 holds; rare, so exactly.
    if (!(squares > 1e-30 && squares < 1e30)) {
      if (!this.#isFinite()) return false;
      this.norm = largest < SMALLEST ? 0 : kernels.squares(weights, 1 / largest) * largest * largest;
    }
    if (this.norm > 0) {
      if (this.#kind === '8bit') this.#search8bit(largest);
      else if (this.#kind === '4bit') this.#search4bit(low, high, Math.sqrt(this.norm / BLOCK));
      else this.#searchTable(largest);
    }
    this.error = this.#encode(codes) * this.scale * this.scale;
    return true;
  }

  #search8bit(largest: number): void {
    for (const code of LARGEST_CODES) this.#offer(toBfloat16(largest / code), 0, -127, 127);
  }

  /** Where weights are all of one sign the zero point is at an end. */
  #search4bit(low: number, high: number, deviation: number): void {
    this.kernels.importances(this.#weights, 1 / deviation, PLACE.importances);
    const exact = (-low / (high - low)) * 15;
    for (let zero = Math.floor(exact); zero <= Math.ceil(exact); zero++) {
      for (const range of RANGES) this.#offer(toBfloat16((range * (high - low)) / 15), zero, -zero, 15 - zero);
    }
    const { zero } = this;
    const inverse = 1 / this.scale;
    const { weights, importances, result } = { ...PLACE, weights: this.#weights };
    this.kernels.integerFit(weights, importances, inverse, -zero, 15 - zero, result);
    this.#offer(this.#fitted(), zero, -zero, 15 - zero);
  }

  #searchTable(largest: number): void {
    for (const range of RANGES) this.#offerTable(toBfloat16(largest * range));
    const { importances, result, table } = PLACE;
    this.kernels.tableFit(this.#weights, importances, 1 / this.scale, table, result);
    this.#offerTable(this.#fitted());
  }

  /** The scale that fits best to the codes of the present one: least squares. */
  #fitted(): number {
    const [product, square] = this.#results;
    return square! > 0 ? toBfloat16((this.scale * product!) / square!) : 0;
  }

  #offer(scale: number, zero: number, low: number, high: number): void {
    if (scale < SMALLEST / 256) return;
    const error = this.kernels.integerError(this.#weights, PLACE.importances, 1 / scale, low, high) * scale * scale;
    if (!(error < this.#best)) return;
    this.#best = error;
    this.scale = scale;
    this.zero = zero;
  }

  #offerTable(scale: number): void {
    if (scale < SMALLEST / 256) return;
    const error = this.kernels.tableError(this.#weights, PLACE.importances, 1 / scale, PLACE.table) * scale * scale;
    if (!(error < this.#best)) return;
    this.#best = error;
    this.scale = scale;
  }

  #encode(codes: number): number {
    const { scale, zero, kernels } = this;
    if (this.#kind === 'nf4') return kernels.tableCodes(this.#weights, 1 / scale, PLACE.table, codes);
    const [low, high] = this.#kind === '8bit' ? [-127, 127] : [-zero, 15 - zero];
    return kernels.integerCodes(this.#weights, 1 / scale, low!, high!, zero, codes);
  }

  #isFinite(): boolean {
    return new Float32Array(this.kernels.memory.buffer, this.#weights, BLOCK).every(Number.isFinite);
  }
}
