import { DisposedError, HostBuffer } from '@airllm/loader';
import { StateFullError } from '../errors';

/** Blocks are cut from allocations of about this size: few mappings, little waste (untouched memory is not resident). */
const SLAB_BYTES = 4 * 1024 * 1024;
/** Block sizes are rounded up to this, so that every block starts on a cache line. */
export const BLOCK_ALIGNMENT = 64;

/** How much a {@link BlockPool} may take, and how much at a time. */
export interface BlockPoolOptions {
  /** Most bytes of blocks that may be in use or waiting for reuse. @defaultValue no limit */
  readonly limitBytes?: number;
  /** Bytes asked from the system at once. @defaultValue 4 MiB */
  readonly slabBytes?: number;
}

/** A piece of memory from a pool. What is in it when it is handed out is undefined. */
export interface PoolBlock {
  readonly buffer: HostBuffer;
  /** Of the block's first byte in `buffer`. */
  readonly offset: number;
  readonly byteLength: number;
  /** Address of the first byte; 0n where the buffer is not native memory. */
  readonly address: bigint;
  /** The whole block, not a copy. */
  readonly floats: Float32Array;
}

/** What gives states their memory: a pool, or a region that somebody else fills. */
export interface BlockSource {
  /** A block of at least so many bytes. Throws `StateFullError` where there is none. */
  allocate(byteLength: number): PoolBlock;
  /** Gives a block back. */
  free(block: PoolBlock): void;
}

interface Slab {
  readonly buffer: HostBuffer;
  readonly floats: Float32Array;
  readonly blockBytes: number;
  readonly capacity: number;
  readonly free: Block[];
  /** Blocks that were ever handed out: the rest is memory that was never touched. */
  touched: number;
}

interface Block extends PoolBlock {
  readonly slab: Slab;
}

/**
 * Memory for states, in blocks of equal size per kind of state, so that sequences come and go without fragmentation.
 * Blocks given back are handed out again first.
 */
export class BlockPool implements BlockSource {
  readonly limitBytes: number;
  readonly #slabBytes: number;
  /** By block size. */
  readonly #slabs = new Map<number, Slab[]>();
  #usedBytes = 0;
  #touchedBytes = 0;
  #disposed = false;

  constructor(options: BlockPoolOptions = {}) {
    this.limitBytes = options.limitBytes ?? Number.POSITIVE_INFINITY;
    this.#slabBytes = options.slabBytes ?? SLAB_BYTES;
  }

  /** Bytes of blocks handed out now. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Bytes this pool has made resident: blocks handed out now or waiting for reuse. Never above `limitBytes`. */
  get touchedBytes(): number {
    return this.#touchedBytes;
  }

  /** Throws {@link StateFullError} where the limit does not allow another block. */
  allocate(byteLength: number): PoolBlock {
    if (this.#disposed) throw new DisposedError('BlockPool');
    const blockBytes = Math.ceil(byteLength / BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT;
    const block = this.#reuse(blockBytes) ?? this.#touch(blockBytes);
    this.#usedBytes += blockBytes;
    return block;
  }

  /** Gives a block back. Its views must not be used afterwards. */
  free(block: PoolBlock): void {
    const { slab } = block as Block;
    slab.free.push(block as Block);
    this.#usedBytes -= slab.blockBytes;
  }

  /** Gives the memory of slabs without a block in use back to the system. */
  trim(): void {
    for (const [blockBytes, slabs] of this.#slabs) {
      const [empty, busy] = partition(slabs, (slab) => slab.free.length === slab.touched);
      for (const slab of empty) {
        this.#touchedBytes -= slab.touched * blockBytes;
        slab.buffer.dispose();
      }
      this.#slabs.set(blockBytes, busy);
    }
  }

  /** Frees everything; blocks still in use become invalid. Idempotent. */
  dispose(): void {
    this.#disposed = true;
    for (const slabs of this.#slabs.values()) for (const slab of slabs) slab.buffer.dispose();
    this.#slabs.clear();
    this.#usedBytes = 0;
    this.#touchedBytes = 0;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #reuse(blockBytes: number): Block | undefined {
    for (const slab of this.#slabs.get(blockBytes) ?? []) {
      const block = slab.free.pop();
      if (block !== undefined) return block;
    }
    return undefined;
  }

  #touch(blockBytes: number): Block {
    const wouldBe = () => this.#touchedBytes + blockBytes;
    // Blocks of another size may be all that stands in the way.
    if (wouldBe() > this.limitBytes) this.trim();
    if (wouldBe() > this.limitBytes) {
      throw new StateFullError({ needed: blockBytes, used: this.#touchedBytes, limit: this.limitBytes });
    }
    const slab = this.#slabs.get(blockBytes)?.find((other) => other.touched < other.capacity) ?? this.#slab(blockBytes);
    const offset = slab.touched++ * blockBytes;
    this.#touchedBytes += blockBytes;
    const { buffer, floats } = slab;
    return {
      slab,
      buffer,
      offset,
      byteLength: blockBytes,
      address: buffer.native ? buffer.address + BigInt(offset) : 0n,
      floats: floats.subarray(offset / 4, (offset + blockBytes) / 4),
    };
  }

  #slab(blockBytes: number): Slab {
    const bytes = Math.min(this.#slabBytes, this.limitBytes - this.#touchedBytes);
    const capacity = Math.max(1, Math.floor(bytes / blockBytes));
    const buffer = HostBuffer.allocate(capacity * blockBytes, { label: 'state' });
    const floats = buffer.float32(0, (capacity * blockBytes) / 4);
    const slab: Slab = { buffer, floats, blockBytes, capacity, free: [], touched: 0 };
    this.#slabs.set(blockBytes, [...(this.#slabs.get(blockBytes) ?? []), slab]);
    return slab;
  }
}

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}
