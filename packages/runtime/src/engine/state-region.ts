import { type BlockSource, type PoolBlock, StateFullError } from '@airllm/kernels';
import { HostBuffer } from '@airllm/loader';

const SLOT_ALIGNMENT = 4096;

/** Memory for the states of one layer while its turn lasts: blocks one after the other, as they lie in the file. */
export class StateRegion implements BlockSource {
  readonly buffer: HostBuffer;
  #used = 0;

  constructor(byteLength: number) {
    this.buffer = HostBuffer.allocate(byteLength, { label: 'states on their way' });
  }

  /** Offset of the next block. */
  get used(): number {
    return this.#used;
  }

  /** Whoever was there has left. */
  clear(): void {
    this.#used = 0;
  }

  allocate(byteLength: number): PoolBlock {
    const bytes = Math.ceil(byteLength / SLOT_ALIGNMENT) * SLOT_ALIGNMENT;
    const limit = this.buffer.byteLength;
    if (this.#used + bytes > limit) throw new StateFullError({ needed: bytes, used: this.#used, limit });
    const block = new RegionBlock(this.buffer, this.#used, bytes);
    this.#used += bytes;
    return block;
  }

  /** Blocks leave together, by {@link clear}. */
  free(): void {}

  dispose(): void {
    this.buffer.dispose();
  }
}

class RegionBlock implements PoolBlock {
  readonly address: bigint;
  #floats: Float32Array | undefined;

  constructor(
    readonly buffer: HostBuffer,
    readonly offset: number,
    readonly byteLength: number,
  ) {
    this.address = buffer.native ? buffer.address + BigInt(offset) : 0n;
  }

  /** Made where somebody looks: a layer has thousands of blocks, which go by in every pass. */
  get floats(): Float32Array {
    this.#floats ??= this.buffer.float32(this.offset, this.byteLength / 4);
    return this.#floats;
  }
}
