import { BLOCK_POSITIONS, type KvStateSpec, type LayerState, StateError } from '@airllm/kernels';
import { DisposedError } from '@airllm/loader';
import { slotBytes } from '../plan/state-place';
import type { FileRange, FileSpace } from './file-space';

/** A block in the file. Forks share it until one of them writes to it. */
export interface Slot {
  readonly range: FileRange;
  readonly offset: number;
  /** CRC-32 of its bytes. */
  checksum: number;
  users: number;
}

/** The file that states share. */
export interface StateOwner {
  readonly space: FileSpace;
  /** All that there are. */
  readonly states: Set<DiskState>;
  /** One of them has gone. */
  readonly onDispose: () => void;
}

/**
 * Keys and values of one sequence for one layer, in blocks of a file. What is in memory of it, and when, is the state
 * stream's business; here is where each block lies.
 */
export class DiskState implements LayerState {
  readonly spec: KvStateSpec;
  readonly layer: number;
  readonly slotBytes: number;
  readonly start = 0;
  readonly #owner: StateOwner;
  readonly #capacity: number;
  readonly #home: FileRange;
  /** What was last written to the places of `home`. */
  readonly #atHome: (Slot | undefined)[] = [];
  /** By logical block index. */
  #slots: Slot[] = [];
  #length = 0;
  #failure: Error | undefined;
  #disposed = false;

  constructor(owner: StateOwner, spec: KvStateSpec, layer: number, maxLength: number) {
    this.#owner = owner;
    this.spec = spec;
    this.layer = layer;
    this.slotBytes = slotBytes(spec);
    this.#capacity = Math.ceil(maxLength / BLOCK_POSITIONS);
    this.#home = owner.space.allocate(this.#capacity * this.slotBytes);
    owner.states.add(this);
  }

  get length(): number {
    return this.#length;
  }

  /** Bytes in the file. */
  get byteLength(): number {
    return this.#slots.length * this.slotBytes;
  }

  /** Bytes in the file that it may come to. */
  get mostBytes(): number {
    return this.#capacity * this.slotBytes;
  }

  /** Blocks that were written, in order. Throws what went wrong where one of them was lost. */
  get slots(): readonly Slot[] {
    this.#check();
    if (this.#failure !== undefined) throw this.#failure;
    return this.#slots;
  }

  reserve(length: number): void {
    this.#check();
    if (length > this.#capacity * BLOCK_POSITIONS) {
      const most = this.#capacity * BLOCK_POSITIONS;
      throw new StateError(`no place for ${length} positions: the sequence was opened for ${most}`);
    }
    this.#length = Math.max(this.#length, length);
  }

  /** A state that every later row sees whole gives nothing back. */
  release(): void {
    this.#check();
  }

  truncate(length: number): void {
    this.#check();
    if (length >= this.#length) return;
    this.#length = length;
    for (const slot of this.#slots.splice(Math.ceil(length / BLOCK_POSITIONS))) this.#drop(slot);
    if (length === 0) this.#failure = undefined;
  }

  /** Shares the blocks that are there. */
  fork(): DiskState {
    const slots = this.slots;
    const copy = new DiskState(this.#owner, this.spec, this.layer, this.#capacity * BLOCK_POSITIONS);
    copy.#length = this.#length;
    copy.#slots = slots.map((slot) => {
      slot.users++;
      slot.range.users++;
      return slot;
    });
    return copy;
  }

  /** Where block `index` is to be written: a place that nobody else reads. */
  slotFor(index: number): Slot {
    const held = this.#slots[index];
    if (held?.users === 1) return held;
    if (held !== undefined) this.#drop(held);
    const lent = (this.#atHome[index]?.users ?? 0) > 0;
    const range = lent ? this.#owner.space.allocate(this.slotBytes) : this.#home;
    // A range of its own has no other user.
    if (!lent) range.users++;
    const offset = range.offset + (lent ? 0 : index * this.slotBytes);
    const slot: Slot = { range, offset, checksum: 0, users: 1 };
    if (!lent) this.#atHome[index] = slot;
    this.#slots[index] = slot;
    return slot;
  }

  /** A block could not be written, and what it held before may be gone too. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.truncate(0);
    this.#disposed = true;
    this.#owner.space.release(this.#home);
    this.#owner.states.delete(this);
    this.#owner.onDispose();
  }

  #drop(slot: Slot): void {
    slot.users--;
    this.#owner.space.release(slot.range);
  }

  #check(): void {
    if (this.#disposed) throw new DisposedError('DiskState');
  }
}
