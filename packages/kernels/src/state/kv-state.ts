import { DisposedError } from '@airllm/loader';
import { StateError } from '../errors';
import type { KvStateSpec } from '../graph/graph';
import type { BlockPool, PoolBlock } from './block-pool';
import { BLOCK_POSITIONS, kvBlockBytes } from './kv-layout';
import { decodeSnapshot, encodeSnapshot } from './kv-snapshot';

/** A block and its two halves, made once because executors ask for them row after row. */
interface KvBlock {
  readonly memory: PoolBlock;
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/**
 * Keys and values of one sequence for one attention op, by logical position, in blocks of 32 positions. A block is one
 * piece of memory: keys float32 `[kvHeads, 32, keyDim]`, then values float32 `[kvHeads, 32, valueDim]`; what lies at
 * positions nothing was stored at is undefined. Old blocks may be given back (a sliding window), which leaves holes.
 */
export class KvState {
  readonly kind = 'kv';
  readonly spec: KvStateSpec;
  readonly #pool: BlockPool;
  /** By logical block index, position >> 5. */
  #blocks: (KvBlock | undefined)[] = [];
  #length = 0;
  #start = 0;
  #addresses: BigUint64Array | undefined;
  #disposed = false;

  constructor(pool: BlockPool, spec: KvStateSpec) {
    this.#pool = pool;
    this.spec = spec;
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
      blocks: this.#blocks.map((block) => block?.memory.floats),
    });
  }

  /** Replaces the content by a snapshot's. Throws {@link StateError} for bytes that are not one of this spec. */
  restore(snapshot: Uint8Array): void {
    this.#check();
    const { start, length, blocks } = decodeSnapshot(this.spec, snapshot);
    this.truncate(0);
    this.#adopt(blocks, start, length, (memory, floats) => memory.floats.set(floats));
  }

  /** Address of each block's first byte by logical block index, 0 for holes. Cached: do not write to it. */
  addresses(): BigUint64Array {
    this.#check();
    this.#addresses ??= BigUint64Array.from(this.#blocks, (block) => block?.memory.address ?? 0n);
    return this.#addresses;
  }

  /** Keys of a logical block, float32 `[kvHeads, 32, keyDim]`, not a copy. Throws {@link StateError} for a hole. */
  keys(block: number): Float32Array {
    return this.#block(block).keys;
  }

  /** Values of a logical block, float32 `[kvHeads, 32, valueDim]`, not a copy. Throws {@link StateError} for a hole. */
  values(block: number): Float32Array {
    return this.#block(block).values;
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
    const bytes = kvBlockBytes(this.spec);
    const border = this.spec.kvHeads * BLOCK_POSITIONS * this.spec.keyDim;
    const blocks: KvBlock[] = [];
    try {
      for (let i = 0; i < count; i++) {
        const memory = this.#pool.allocate(bytes);
        const { floats } = memory;
        blocks.push({ memory, keys: floats.subarray(0, border), values: floats.subarray(border, bytes / 4) });
      }
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
