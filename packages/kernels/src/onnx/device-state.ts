import { DisposedError, type HostBuffer } from '@airllm/loader';
import { StateError } from '../errors';
import type { DeviceLayerState } from '../executor';
import type { StateSpec } from '../graph/graph';
import { BLOCK_POSITIONS } from '../state/kv-layout';
import type { Connection } from './connection';
import { Holds } from './memory-ref';

/** Positions that a window's ring has room for beyond the window: the rows of a pass. */
export const RING_ROWS = 2048;

/** Takes and gives back bytes of the device's limit. */
export interface Account {
  /** Throws where they do not fit. */
  take(bytes: number): void;
  give(bytes: number): void;
}

/**
 * Keys and values of one sequence in the worker's keeping, float32 whatever the spec says (its rounding is kept). Room
 * for all positions is taken when the first is reserved, so that nothing is moved later; with a window it is a ring.
 */
export class DeviceState implements DeviceLayerState {
  readonly spec: StateSpec;
  readonly connection: Connection;
  readonly id: number;
  readonly #account: Account;
  readonly #maxLength: number;
  #slots = 0;
  #length = 0;
  #start = 0;
  /** Where the ring has been: positions this many slots before it are overwritten. */
  #written = 0;
  #disposed = false;

  constructor(spec: StateSpec, maxLength: number, connection: Connection, account: Account) {
    this.spec = spec;
    this.connection = connection;
    this.id = connection.nextId();
    this.#maxLength = maxLength;
    this.#account = account;
  }

  get length(): number {
    return this.#length;
  }

  get start(): number {
    return this.#start;
  }

  get byteLength(): number {
    return this.#slots * positionBytes(this.spec);
  }

  /** Throws `StateFullError` where the device's limit does not allow it. */
  reserve(length: number): void {
    this.#check();
    if (length <= this.#length) return;
    const live = length - this.#start;
    if (live > this.#slots) this.#grow(Math.max(live, stateSlots(this.spec, this.#maxLength)));
    this.#length = length;
    this.#written = Math.max(this.#written, length);
  }

  get blockBytes(): number {
    return BLOCK_POSITIONS * positionBytes(this.spec);
  }

  place(start: number, length: number): void {
    this.#check();
    if (this.#length > 0) throw new StateError(`it keeps ${this.#length} positions: only an empty state takes others`);
    this.#start = start;
    this.reserve(length);
  }

  readBlocks(first: number, count: number, into: HostBuffer): Promise<void> {
    return this.#bring('readBlocks', first, count, into);
  }

  writeBlocks(first: number, count: number, from: HostBuffer): Promise<void> {
    return this.#bring('writeBlocks', first, count, from);
  }

  release(beforePosition: number): void {
    this.#check();
    const whole = Math.floor(Math.min(beforePosition, this.#length) / BLOCK_POSITIONS) * BLOCK_POSITIONS;
    this.#start = Math.max(this.#start, whole);
  }

  truncate(length: number): void {
    this.#check();
    if (length >= this.#length) return;
    const firstSeen = Math.max(0, length + 1 - (this.spec.window ?? Number.POSITIVE_INFINITY));
    const kept = Math.max(this.#start, this.#written - this.#slots);
    if (length > 0 && firstSeen < kept) {
      throw new StateError(
        `cannot truncate to ${length}: position ${length} sees positions from ${firstSeen}, and those before ` +
          `${kept} were released; truncate to 0 and run the sequence again`,
      );
    }
    this.#length = length;
    if (length === 0) {
      this.#start = 0;
      this.#written = 0;
    }
  }

  fork(): DeviceState {
    this.#check();
    const copy = new DeviceState(this.spec, this.#maxLength, this.connection, this.#account);
    if (this.#slots > 0) {
      this.#account.take(this.byteLength);
      this.connection.tell({ do: 'forkState', id: copy.id, from: this.id });
    }
    copy.#slots = this.#slots;
    copy.#length = this.#length;
    copy.#start = this.#start;
    copy.#written = this.#written;
    return copy;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#slots === 0) return;
    this.connection.tell({ do: 'freeState', id: this.id });
    this.#account.give(this.byteLength);
    this.#slots = 0;
  }

  /** The old room is given back when its content has been moved. */
  #grow(slots: number): void {
    const { spec, id } = this;
    this.#account.take(slots * positionBytes(spec));
    if (this.#slots === 0) this.connection.tell({ do: 'createState', id, spec, slots });
    else this.connection.tell({ do: 'resizeState', id, slots, start: this.#start, length: this.#length });
    this.#account.give(this.byteLength);
    this.#slots = slots;
  }

  async #bring(what: 'readBlocks' | 'writeBlocks', first: number, count: number, buffer: HostBuffer): Promise<void> {
    this.#check();
    const holds = new Holds();
    try {
      const memory = holds.memory(buffer, 0, count * this.blockBytes);
      await this.connection.ask({ do: what, id: this.id, first, count, length: this.#length, memory });
    } finally {
      holds.release();
    }
  }

  #check(): void {
    if (this.#disposed) throw new DisposedError('DeviceState');
  }
}

/** Positions there is room for in a state of up to `maxLength`. */
export function stateSlots({ window }: StateSpec, maxLength: number): number {
  return window === undefined ? maxLength : Math.min(maxLength, window + RING_ROWS);
}

/** Bytes of one position's keys and values. */
export function positionBytes({ kvHeads, keyDim, valueDim }: StateSpec): number {
  return 4 * kvHeads * (keyDim + valueDim);
}
