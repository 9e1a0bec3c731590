import { ConnectionRamp } from './connection-ramp';
import { HeldBudget } from './held-budget';
import { SLAB_BYTES, SlabPool } from './slabs';
import { Slots } from './slots';
import { WritePace } from './write-pace';

/** What all files of a pull share. */
export interface DownloadContext {
  /** Connections in use. */
  readonly slots: ConnectionRamp;
  /** Writes, and hashes, at work on libuv's threads: fewer than there are, which the host's fs and dns need, too. */
  readonly writes: Slots;
  readonly hashes: Slots;
  readonly held: HeldBudget;
  readonly slabs: SlabPool;
  readonly pace: WritePace;
  readonly connections: number;
  /** Length of the ranges that are asked for. */
  readonly partBytes: number;
}

const PART_BYTES = 8 * 2 ** 20;
const HELD_BYTES = 64 * 2 ** 20;

export function downloadContext(connections: number, partBytes: number = PART_BYTES): DownloadContext {
  return {
    slots: new ConnectionRamp(connections),
    writes: new Slots(2),
    hashes: new Slots(1),
    held: new HeldBudget(HELD_BYTES),
    slabs: new SlabPool(HELD_BYTES / SLAB_BYTES + connections),
    pace: new WritePace(),
    connections,
    partBytes,
  };
}
