import { Tensor } from 'onnxruntime-node';
import type { KvStateSpec } from '../../graph/graph';
import type { Backend, DeviceBuffer } from './backend';
import type { WorkerState } from './device-state';
import { moveModel } from './lower/pick';
import type { Sessions } from './sessions';

/** An empty state with room for `slots` positions. */
export async function newState(backend: Backend, spec: KvStateSpec, slots: number): Promise<WorkerState> {
  const { kvHeads, keyDim, valueDim } = spec;
  const keys = await backend.allocate(4 * slots * kvHeads * keyDim);
  try {
    return { spec, slots, keys, values: await backend.allocate(4 * slots * kvHeads * valueDim) };
  } catch (error) {
    backend.free(keys);
    throw error;
  }
}

export async function forkState(backend: Backend, from: WorkerState): Promise<WorkerState> {
  const copy = await newState(backend, from.spec, from.slots);
  return orFreed(backend, copy, async () => {
    await backend.copy(from.keys, copy.keys, from.keys.byteLength / 4);
    await backend.copy(from.values, copy.values, from.values.byteLength / 4);
  });
}

/** The state when it has been filled; its memory goes back where that fails. */
async function orFreed(backend: Backend, state: WorkerState, fill: () => Promise<void>): Promise<WorkerState> {
  try {
    await fill();
    return state;
  } catch (error) {
    freeState(backend, state);
    throw error;
  }
}

export function freeState(backend: Backend, { keys, values }: WorkerState): void {
  backend.free(keys);
  backend.free(values);
}

export interface Resize {
  readonly slots: number;
  /** Positions that are kept. */
  readonly start: number;
  readonly length: number;
}

/** Moves positions to the slots they have among more of them. */
export async function resizeState(
  backend: Backend,
  sessions: Sessions,
  state: WorkerState,
  resize: Resize,
): Promise<WorkerState> {
  const { keyDim, valueDim } = state.spec;
  const next = await newState(backend, state.spec, resize.slots);
  await orFreed(backend, next, async () => {
    if (resize.length <= resize.start) return;
    await move(sessions, { state, from: state.keys, to: next.keys, dim: keyDim }, resize);
    await move(sessions, { state, from: state.values, to: next.values, dim: valueDim }, resize);
  });
  freeState(backend, state);
  return next;
}

async function move(
  sessions: Sessions,
  { state, from, to, dim }: { state: WorkerState; from: DeviceBuffer; to: DeviceBuffer; dim: number },
  { slots, start, length }: Resize,
): Promise<void> {
  const key = `move ${dim}`;
  await sessions.open(key, () => ({ bytes: moveModel(dim) }));
  const { kvHeads } = state.spec;
  const positions = Array.from({ length: length - start }, (_, n) => start + n);
  const y = to.tensor('float32', [kvHeads * slots, dim]);
  const feeds = {
    x: from.tensor('float32', [kvHeads * state.slots, dim]),
    rows: places(kvHeads, state.slots, positions, []),
    old: y,
    at: places(kvHeads, slots, positions, [1]),
  };
  await sessions.run(key, feeds, { y });
}

/** Where the vectors of positions lie among `[kvHeads, slots]`, head by head: int64 `[kvHeads · positions, ...rest]`. */
export function places(kvHeads: number, slots: number, positions: readonly number[], rest: readonly number[]): Tensor {
  const at = new BigInt64Array(kvHeads * positions.length);
  for (let head = 0; head < kvHeads; head++) {
    positions.forEach((position, n) => {
      at[head * positions.length + n] = BigInt(head * slots + (position % slots));
    });
  }
  return new Tensor('int64', at, [at.length, ...rest]);
}
