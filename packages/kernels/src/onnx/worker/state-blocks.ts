import { BLOCK_POSITIONS } from '../../state/kv-layout';
import type { MemoryRef } from '../protocol';
import type { Backend, DeviceBuffer } from './backend';
import type { WorkerState } from './device-state';
import { gatherModel, scatterModel } from './lower/pick';
import { floatsAt } from './memory';
import type { Sessions } from './sessions';
import { places } from './states';

/** Blocks of 32 positions from `first` on, of a state that ends before `length`. */
export interface BlockRange {
  readonly first: number;
  readonly count: number;
  readonly length: number;
}

/** What blocks are brought between. */
export interface BlockWay {
  readonly backend: Backend;
  readonly sessions: Sessions;
  readonly state: WorkerState;
  /** The host's: blocks one after the other, each its keys `[kvHeads, 32, keyDim]`, then its values. */
  readonly memory: MemoryRef;
}

/** Brings blocks to the host's memory; places without a position are zeros. */
export async function readBlocks(way: BlockWay, range: BlockRange): Promise<void> {
  const { backend, sessions, state, memory } = way;
  const floats = floatsAt(memory).fill(0);
  for (const { buffer, dim, at } of halves(state)) {
    const { positions, rows } = rowsOf(state, range, dim, at);
    const key = `gather ${dim}`;
    await sessions.open(key, () => ({ bytes: gatherModel(dim) }));
    const { kvHeads, x } = asRows(state, buffer, dim);
    const picked = await backend.allocate(4 * rows.length * dim);
    try {
      const y = picked.tensor('float32', [rows.length, dim]);
      await sessions.run(key, { x, at: places(kvHeads, state.slots, positions, []) }, { y });
      const found = await backend.read(picked, rows.length * dim);
      rows.forEach((place, row) => {
        floats.set(found.subarray(row * dim, (row + 1) * dim), place);
      });
    } finally {
      backend.free(picked);
    }
  }
}

/** Puts blocks of the host's memory where their positions belong. */
export async function writeBlocks(way: BlockWay, range: BlockRange): Promise<void> {
  const { backend, sessions, state, memory } = way;
  const floats = floatsAt(memory);
  for (const { buffer, dim, at } of halves(state)) {
    const { positions, rows } = rowsOf(state, range, dim, at);
    const key = `scatter ${dim}`;
    await sessions.open(key, () => ({ bytes: scatterModel(dim) }));
    const { kvHeads, x: old } = asRows(state, buffer, dim);
    const packed = new Float32Array(rows.length * dim);
    rows.forEach((place, row) => {
      packed.set(floats.subarray(place, place + dim), row * dim);
    });
    const brought = await backend.upload(new Uint8Array(packed.buffer));
    try {
      const x = brought.tensor('float32', [rows.length, dim]);
      await sessions.run(key, { old, at: places(kvHeads, state.slots, positions, [1]), x }, { y: old });
    } finally {
      backend.free(brought);
    }
  }
}

/** Keys and values, and where in a block theirs begin, in floats. */
function halves({ spec, keys, values }: WorkerState): { buffer: DeviceBuffer; dim: number; at: number }[] {
  const { kvHeads, keyDim, valueDim } = spec;
  return [
    { buffer: keys, dim: keyDim, at: 0 },
    { buffer: values, dim: valueDim, at: kvHeads * BLOCK_POSITIONS * keyDim },
  ];
}

function asRows({ spec: { kvHeads }, slots }: WorkerState, buffer: DeviceBuffer, dim: number) {
  return { kvHeads, x: buffer.tensor('float32', [kvHeads * slots, dim]) };
}

/** The positions there are, and where each head's vector of each lies in the blocks, in floats, in the order of `places`. */
function rowsOf({ spec }: WorkerState, { first, count, length }: BlockRange, dim: number, at: number) {
  const { kvHeads, keyDim, valueDim } = spec;
  const from = first * BLOCK_POSITIONS;
  const to = Math.min(length, from + count * BLOCK_POSITIONS);
  const positions = Array.from({ length: to - from }, (_, n) => from + n);
  const blockFloats = BLOCK_POSITIONS * kvHeads * (keyDim + valueDim);
  const rows = Array.from({ length: kvHeads }, (_, head) =>
    positions.map((position) => {
      const block = Math.floor(position / BLOCK_POSITIONS) - first;
      return block * blockFloats + at + (head * BLOCK_POSITIONS + (position % BLOCK_POSITIONS)) * dim;
    }),
  );
  return { positions, rows: rows.flat() };
}
