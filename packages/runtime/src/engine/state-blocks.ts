import {
  BLOCK_POSITIONS,
  type DeviceLayerState,
  KvState,
  type KvStateSpec,
  kvContentBytes,
  type LayerState,
} from '@airllm/kernels';
import { HostBuffer, type ScratchFile } from '@airllm/loader';
import { readBlocks, writeBlocks } from './disk-blocks';
import { DiskState } from './disk-state';
import { StateRegion } from './state-region';

/** Bytes of blocks that pass through memory at a time, on their way to a file or from one. */
const STAGED_BYTES = 8 * 2 ** 20;

/** The blocks of one state, wherever they are, for somebody who takes them elsewhere or brings them. */
export interface StateBlocks {
  readonly spec: KvStateSpec;
  /** Bytes of a block: `kvContentBytes`. */
  readonly blockBytes: number;
  /** Most blocks that `take` and `put` should be asked for at a time. */
  readonly staged: number;
  /** Positions that are kept. */
  readonly start: number;
  readonly length: number;
  /** Makes an empty state one that keeps positions from `start`, a multiple of 32, to below `length`. */
  place(start: number, length: number): void;
  /** Blocks from `first` on, zeros where nothing is stored; theirs until the next call. */
  take(first: number, count: number): Promise<readonly Uint8Array[]>;
  put(first: number, blocks: readonly Uint8Array[]): Promise<void>;
  /** Gives back the memory that blocks passed through; the next ones take some anew. */
  dispose(): void;
}

/** Null where a state is on a device that does not give it. `file` is where states on disk are. */
export function stateBlocks(state: LayerState, file: () => ScratchFile): StateBlocks | null {
  if (state instanceof DiskState) return new DiskBlocks(state, file());
  if (KvState.isInstance(state)) return new HostBlocks(state);
  return isOnDevice(state) ? new DeviceBlocks(state) : null;
}

function isOnDevice(state: LayerState): state is DeviceLayerState {
  return 'readBlocks' in state;
}

abstract class Blocks<State extends LayerState> {
  readonly state: State;
  readonly spec: KvStateSpec;
  readonly blockBytes: number;
  readonly staged: number;

  constructor(state: State, blockBytes: number = kvContentBytes(state.spec)) {
    this.state = state;
    this.spec = state.spec;
    this.blockBytes = blockBytes;
    this.staged = Math.max(1, Math.floor(STAGED_BYTES / this.blockBytes));
  }

  get start(): number {
    return this.state.start;
  }

  get length(): number {
    return this.state.length;
  }
}

class HostBlocks extends Blocks<KvState> implements StateBlocks {
  place(start: number, length: number): void {
    this.state.place(start, length);
  }

  async take(first: number, count: number): Promise<readonly Uint8Array[]> {
    return Array.from({ length: count }, (_, i) => this.state.cleanBlock(first + i));
  }

  async put(first: number, blocks: readonly Uint8Array[]): Promise<void> {
    for (const [i, bytes] of blocks.entries()) this.state.block(first + i).set(bytes);
  }

  dispose(): void {}
}

/** In float32 whatever the spec says, as the device keeps them. */
class DeviceBlocks extends Blocks<DeviceLayerState> implements StateBlocks {
  #buffer: HostBuffer | undefined;

  constructor(state: DeviceLayerState) {
    super(state, state.blockBytes);
  }

  place(start: number, length: number): void {
    this.state.place(start, length);
  }

  async take(first: number, count: number): Promise<readonly Uint8Array[]> {
    const buffer = this.#staging();
    await this.state.readBlocks(first, count, buffer);
    return Array.from({ length: count }, (_, i) => buffer.bytes(i * this.blockBytes, this.blockBytes));
  }

  async put(first: number, blocks: readonly Uint8Array[]): Promise<void> {
    const buffer = this.#staging();
    for (const [i, bytes] of blocks.entries()) buffer.bytes(i * this.blockBytes, this.blockBytes).set(bytes);
    await this.state.writeBlocks(first, blocks.length, buffer);
  }

  dispose(): void {
    this.#buffer?.dispose();
    this.#buffer = undefined;
  }

  #staging(): HostBuffer {
    this.#buffer ??= HostBuffer.allocate(this.staged * this.blockBytes, { label: 'states of a device' });
    return this.#buffer;
  }
}

class DiskBlocks extends Blocks<DiskState> implements StateBlocks {
  readonly #file: ScratchFile;
  /** While blocks are on their way. */
  #region: StateRegion | undefined;

  constructor(state: DiskState, file: ScratchFile) {
    super(state);
    this.#file = file;
  }

  place(_start: number, length: number): void {
    this.state.reserve(length);
  }

  async take(first: number, count: number): Promise<readonly Uint8Array[]> {
    const { view, buffer } = this.#view(first, count);
    const range = { from: first, to: first + count, buffer, at: 0 };
    await readBlocks(this.#file, this.state, range);
    return Array.from({ length: count }, (_, i) => view.cleanBlock(first + i));
  }

  async put(first: number, blocks: readonly Uint8Array[]): Promise<void> {
    const { view, buffer } = this.#view(first, blocks.length);
    for (const [i, bytes] of blocks.entries()) view.block(first + i).set(bytes);
    const range = { from: first, to: first + blocks.length, buffer, at: 0 };
    await writeBlocks(this.#file, this.state, range);
  }

  dispose(): void {
    this.#region?.dispose();
    this.#region = undefined;
  }

  /** Some blocks as a state in the region. */
  #view(first: number, count: number) {
    this.#region ??= new StateRegion(this.staged * this.state.slotBytes);
    this.#region.clear();
    const view = new KvState(this.#region, this.spec);
    const length = Math.min(this.state.length, (first + count) * BLOCK_POSITIONS);
    view.place(first * BLOCK_POSITIONS, length);
    return { view, buffer: this.#region.buffer };
  }
}
