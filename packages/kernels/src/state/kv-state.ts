import { DisposedError } from '@airllm/loader';
import { StateError } from '../errors';
import type { KvStateSpec } from '../graph/graph';
import type { BlockSource, PoolBlock } from './block-pool';
import { decodeVector, encodeVector, type KvItems, viewItems } from './kv-codec';
import { BLOCK_POSITIONS, type KvLayout, kvLayout } from './kv-layout';
import { clearFrom, decodeSnapshot, encodeSnapshot } from './kv-snapshot';
import type { LayerState } from './layer-state';

/** Marks the class across copies of this package (ESM and CJS meet). */
const HOST_STATE = Symbol.for('@airllm/kernels.KvState');

/** A block and what is in it, made once where somebody asks: the reference executor does so row after row. */
interface KvBlock {
  readonly memory: PoolBlock;
  items: KvItems | undefined;
}

/**
 * Keys and values of one sequence for one attention op, by logical position, in blocks of 32 positions, in the form the
 * spec's dtype says (`kvLayout`). What lies at positions nothing was stored at is undefined. Old blocks may be given back
 * (a sliding window), which leaves holes.
 */
export class KvState implements LayerState {
  readonly [HOST_STATE] = true;
  readonly kind = 'kv';
  readonly spec: KvStateSpec;
  readonly #pool: BlockSource;
  readonly #layout: KvLayout;
  /** By logical block index, position >> 5. */
  #blocks: (KvBlock | undefined)[] = [];
  #length = 0;
  #start = 0;
  #addresses: BigUint64Array | undefined;
  #disposed = false;

  /** Whether a state is one in blocks of host memory. */
  static isInstance(state: LayerState): state is KvState {
    return HOST_STATE in state;
  }

  constructor(pool: BlockSource, spec: KvStateSpec) {
    this.#pool = pool;
    this.spec = spec;
    this.#layout = kvLayout(spec);
  }

  /** Positions below this one have a place. */
  get length(): number {
    return this.#length;
  }

  /** First position that is kept; those before were released. */
  get start(): number {
    return this.#start;
  }

  /** Bytes of the blocks held. */
  get byteLength(): number {
    return this.#blocks.reduce((sum, block) => sum + (block?.memory.byteLength ?? 0), 0);
  }

  /** Makes a place for every position below `length`. On {@link StateFullError} nothing has changed. */
  reserve(length: number): void {
    this.#check();
    if (length <= this.#length) return;
    const blocks = this.#allocate(Math.ceil(length / BLOCK_POSITIONS) - this.#blocks.length);
    this.#blocks.push(...blocks);
    this.#length = length;
    this.#addresses = undefined;
  }

  /**
   * Makes an empty state one that keeps positions from `start`, a multiple of 32, to below `length`, for somebody who
   * brings their blocks ({@link block}). Throws {@link StateError} where something is kept, `StateFullError` without memory.
   */
  place(start: number, length: number): void {
    this.#check();
    if (this.#length > 0) throw new StateError(`cannot place ${length} positions: ${this.#length} are kept already`);
    if (start % BLOCK_POSITIONS !== 0 || start > length) {
      throw new StateError(
        `cannot keep positions from ${start}: expected a multiple of ${BLOCK_POSITIONS}, at most ${length}`,
      );
    }
    const first = start / BLOCK_POSITIONS;
    const fresh = this.#allocate(Math.ceil(length / BLOCK_POSITIONS) - first);
    this.#blocks = [...Array.from({ length: first }, () => undefined), ...fresh];
    this.#start = start;
    this.#length = length;
    this.#addresses = undefined;
  }

  /**
   * The bytes of a block by its logical index, position >> 5, as `kvLayout` has them: not a copy. Throws
   * {@link StateError} where there is none.
   */
  block(index: number): Uint8Array {
    return bytesOf(this.#block(index).memory).subarray(0, this.#layout.bytes);
  }

  /** The same, with zeros at positions nothing was stored at: what may leave the process. */
  cleanBlock(index: number): Uint8Array {
    const filled = this.#length - index * BLOCK_POSITIONS;
    const bytes = this.block(index);
    if (filled >= BLOCK_POSITIONS) return bytes;
    const copy = bytes.slice();
    clearFrom(copy, this.spec, filled);
    return copy;
  }

  /** Gives back the blocks that hold only positions before `beforePosition`. */
  release(beforePosition: number): void {
    this.#check();
    const end = Math.min(Math.floor(beforePosition / BLOCK_POSITIONS), this.#blocks.length);
    for (let b = this.#start / BLOCK_POSITIONS; b < end; b++) this.#drop(b);
    this.#start = Math.max(this.#start, end * BLOCK_POSITIONS);
  }

  /**
   * Forgets positions from `length` on. Throws {@link StateError} where the position `length` would then see positions
   * that were released: only `truncate(0)` always works.
   */
  truncate(length: number): void {
    this.#check();
    if (length >= this.#length) return;
    const firstSeen = Math.max(0, length + 1 - (this.spec.window ?? Number.POSITIVE_INFINITY));
    if (length > 0 && firstSeen < this.#start) {
      throw new StateError(
        `cannot truncate to ${length}: position ${length} sees positions from ${firstSeen}, and those before ` +
          `${this.#start} were released; truncate to 0 and run the sequence again`,
      );
    }
    const keep = Math.ceil(length / BLOCK_POSITIONS);
    for (let b = keep; b < this.#blocks.length; b++) this.#drop(b);
    this.#blocks.length = keep;
    this.#length = length;
    if (length === 0) this.#start = 0;
    this.#addresses = undefined;
  }

  /** An independent copy, from the same pool. */
  fork(): KvState {
    this.#check();
    const copy = new KvState(this.#pool, this.spec);
    copy.#adopt(this.#blocks, this.#start, this.#length, (memory, from) => memory.floats.set(from.memory.floats));
    return copy;
  }

  /** The state as bytes, for {@link restore}; equal states give equal bytes. */
  snapshot(): Uint8Array {
    this.#check();
    return encodeSnapshot({
      spec: this.spec,
      start: this.#start,
      length: this.#length,
      blocks: this.#blocks.map((block) => block && bytesOf(block.memory)),
    });
  }

  /** Replaces the content by a snapshot's. Throws {@link StateError} for bytes that are not one of this spec. */
  restore(snapshot: Uint8Array): void {
    this.#check();
    const { start, length, blocks } = decodeSnapshot(this.spec, snapshot);
    this.truncate(0);
    this.#adopt(blocks, start, length, (memory, bytes) => bytesOf(memory).set(bytes));
  }

  /** Address of each block's first byte by logical block index, 0 for holes. Cached: do not write to it. */
  addresses(): BigUint64Array {
    this.#check();
    this.#addresses ??= BigUint64Array.from(this.#blocks, (block) => block?.memory.address ?? 0n);
    return this.#addresses;
  }

  /**
   * Stores a position's keys `[kvHeads, keyDim]` and values `[kvHeads, valueDim]`. Throws {@link StateError} where the
   * position has no place.
   */
  write(position: number, keys: Float32Array, values: Float32Array): void {
    const { kvHeads, keyDim, valueDim } = this.spec;
    for (let head = 0; head < kvHeads; head++) {
      this.#put(position, 'key', head, keys.subarray(head * keyDim, (head + 1) * keyDim));
      this.#put(position, 'value', head, values.subarray(head * valueDim, (head + 1) * valueDim));
    }
  }

  /**
   * What is stored of one head at positions `[from, to)`, as float32: keys `[to - from, keyDim]` or values `[to - from,
   * valueDim]`. Throws {@link StateError} for positions without a place.
   */
  read(what: 'key' | 'value', head: number, from: number, to: number): Float32Array {
    const dim = what === 'key' ? this.spec.keyDim : this.spec.valueDim;
    const vectors = new Float32Array((to - from) * dim);
    for (let position = from; position < to; position++) {
      const { items, place, scale } = this.#place(position, what, head);
      const at = (position - from) * dim;
      const factor = scale === undefined ? 1 : scale.of[scale.at]!;
      decodeVector(this.spec.dtype, items, place, factor, vectors.subarray(at, at + dim));
    }
    return vectors;
  }

  /** Gives every block back to the pool. Idempotent; anything else afterwards throws `DisposedError`. */
  dispose(): void {
    if (this.#disposed) return;
    this.truncate(0);
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #put(position: number, what: 'key' | 'value', head: number, vector: Float32Array): void {
    const { items, place, scale } = this.#place(position, what, head);
    const factor = encodeVector(this.spec.dtype, vector, items, place);
    if (scale !== undefined) scale.of[scale.at] = factor;
  }

  /** Where a vector lies in its block, and its scale where there is one. */
  #place(position: number, what: 'key' | 'value', head: number) {
    const block = this.#block(Math.floor(position / BLOCK_POSITIONS));
    const slot = position % BLOCK_POSITIONS;
    const { keyDim, valueDim } = this.spec;
    const { keyItems, valueItems, scales } = this.#layout;
    const { memory } = block;
    block.items ??= viewItems(this.spec.dtype, memory.floats, keyItems + valueItems);
    const { items } = block;
    const place =
      what === 'key'
        ? { at: head * keyDim * BLOCK_POSITIONS + slot, stride: BLOCK_POSITIONS }
        : { at: keyItems + (head * BLOCK_POSITIONS + slot) * valueDim, stride: 1 };
    const first = what === 'key' ? scales?.keys : scales?.values;
    const scale = first === undefined ? undefined : { of: memory.floats, at: first + head * BLOCK_POSITIONS + slot };
    return { items, place, scale };
  }

  #block(index: number): KvBlock {
    this.#check();
    const block = this.#blocks[index];
    if (block === undefined) {
      const from = index * BLOCK_POSITIONS;
      throw new StateError(
        `no memory for positions ${from} to ${from + BLOCK_POSITIONS - 1}: the state keeps ${this.#start} to ` +
          `${this.#length - 1}; reserve() before a pass, release() only what no row will see`,
      );
    }
    return block;
  }

  /** All or nothing. */
  #allocate(count: number): KvBlock[] {
    const { bytes } = this.#layout;
    const blocks: KvBlock[] = [];
    try {
      for (let i = 0; i < count; i++) blocks.push({ memory: this.#pool.allocate(bytes), items: undefined });
    } catch (error) {
      for (const { memory } of blocks) this.#pool.free(memory);
      throw error;
    }
    return blocks;
  }

  #adopt<T>(
    sources: readonly (T | undefined)[],
    start: number,
    length: number,
    fill: (memory: PoolBlock, source: T) => void,
  ): void {
    const fresh = this.#allocate(sources.filter((source) => source !== undefined).length);
    this.#blocks = sources.map((source) => {
      if (source === undefined) return undefined;
      const block = fresh.pop()!;
      fill(block.memory, source);
      return block;
    });
    this.#start = start;
    this.#length = length;
    this.#addresses = undefined;
  }

  #drop(index: number): void {
    const block = this.#blocks[index];
    if (block === undefined) return;
    this.#pool.free(block.memory);
    this.#blocks[index] = undefined;
    this.#addresses = undefined;
  }

  #check(): void {
    if (this.#disposed) throw new DisposedError('KvState');
  }
}

function bytesOf({ floats }: PoolBlock): Uint8Array {
  return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
}
