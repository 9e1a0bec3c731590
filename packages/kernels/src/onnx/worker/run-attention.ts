import { Tensor } from 'onnxruntime-node';
import type { AttentionOp } from '../../graph/ops';
import { remember } from '../../remember';
import { SCORE_BYTES } from '../sizes';
import type { DeviceBuffer, Feeds } from './backend';
import { positionsAt, type WorkerState } from './device-state';
import { type Frame, floatsOf } from './frame';
import { HostState } from './host-state';
import { attentionModel, storeModel } from './lower/attention';
import { hasOwnAttention, runOwnAttention, shapeOf } from './run-own-attention';
import { column, firstVisible, int64, type Rows } from './sequence-rows';
import type { Sessions } from './sessions';
import { places } from './states';
import { vectorTensor } from './weight-tensor';

/** Keys and values as a session takes them, with the position of each. */
interface Seen {
  readonly k: Tensor;
  readonly v: Tensor;
  readonly at: Float32Array;
}

/** Stores the rows' keys and values and attends, one sequence after the other. */
export async function runAttention(frame: Frame, op: AttentionOp): Promise<void> {
  await frame.scope.make(op.out);
  const sequences = new Map<number, number[]>();
  frame.rows.sequence.forEach((sequence, r) => {
    remember(sequences, sequence, () => []).push(r);
  });
  for (const [sequence, rows] of sequences) {
    const state = frame.state(op.state, sequence);
    if (state instanceof HostState) await attend(frame, op, rows, await onHost(frame, op, state, rows));
    else if (hasOwnAttention(frame, op, state, rows)) await attendAsKnown(frame, op, state, rows);
    else await attendOnDevice(frame, op, state, rows);
  }
}

async function attendOnDevice(frame: Frame, op: AttentionOp, state: WorkerState, rows: Rows): Promise<void> {
  await attend(frame, op, rows, await onDevice(frame, op, state, rows));
}

/** By shape and magnitude of the length, on which a GPU's kernels depend: whether its own attention was right. */
const compared = new WeakMap<Sessions, Map<string, boolean>>();

/** On a GPU by its own attention where that has once made what plain operators make; the first time by both. */
async function attendAsKnown(frame: Frame, op: AttentionOp, state: WorkerState, rows: Rows): Promise<void> {
  if (frame.backend.provider === 'cpu') return runOwnAttention(frame, op, state, rows);
  const known = remember(compared, frame.sessions, () => new Map<string, boolean>());
  const doublings = 32 - Math.clz32(frame.rows.position[rows.at(-1)!]!);
  const key = `${shapeOf(op, state.spec)} ${doublings}`;
  const right = known.get(key);
  if (right !== false) await runOwnAttention(frame, op, state, rows);
  if (right === true) return;
  const own = right === undefined ? await rowsOf(frame, op, rows) : undefined;
  await attendOnDevice(frame, op, state, rows);
  if (own !== undefined) known.set(key, agree(own, await rowsOf(frame, op, rows)));
}

/** What was computed for rows. */
async function rowsOf(frame: Frame, op: AttentionOp, rows: Rows): Promise<Float32Array> {
  const all = await floatsOf(frame, op.out);
  const width = all.length / frame.count;
  return Float32Array.from(rows.flatMap((r) => [...all.subarray(r * width, (r + 1) * width)]));
}

/** Within what two orders of summation may differ by. */
function agree(a: Float32Array, b: Float32Array): boolean {
  const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return a.every((value, n) => Math.abs(value - b[n]!) <= 1e-4 * largest);
}

async function onHost(frame: Frame, op: AttentionOp, state: HostState, rows: Rows): Promise<Seen> {
  const keys = await floatsOf(frame, op.k);
  const keyWidth = keys.length / frame.count;
  for (const r of rows) {
    state.write('key', frame.rows.position[r]!, keys.subarray(r * keyWidth, (r + 1) * keyWidth));
  }
  const values = await floatsOf(frame, op.v);
  const valueWidth = values.length / frame.count;
  for (const r of rows) {
    state.write('value', frame.rows.position[r]!, values.subarray(r * valueWidth, (r + 1) * valueWidth));
  }
  const first = Math.min(...rows.map((r) => firstVisible(frame, op, r)));
  const length = frame.rows.position[rows.at(-1)!]! + 1 - first;
  const { kvHeads, keyDim, valueDim } = frame.scope.graph.states[op.state]!;
  return {
    k: new Tensor('float32', state.read('key', first, first + length), [kvHeads, length, keyDim]),
    v: new Tensor('float32', state.read('value', first, first + length), [kvHeads, length, valueDim]),
    at: Float32Array.from({ length }, (_, n) => first + n),
  };
}

async function onDevice(frame: Frame, op: AttentionOp, state: WorkerState, rows: Rows): Promise<Seen> {
  const { kvHeads, keyDim, valueDim } = state.spec;
  await store(frame, state, op.k, state.keys, keyDim, rows);
  await store(frame, state, op.v, state.values, valueDim, rows);
  const at = positionsAt(state.slots, frame.rows.position[rows.at(-1)!]! + 1);
  return {
    k: state.keys.tensor('float32', [kvHeads, state.slots, keyDim]),
    v: state.values.tensor('float32', [kvHeads, state.slots, valueDim]),
    at,
  };
}

async function store(
  frame: Frame,
  { spec, slots }: WorkerState,
  value: number,
  into: DeviceBuffer,
  dim: number,
  rows: Rows,
): Promise<void> {
  const { kvHeads, dtype } = spec;
  const key = `store ${kvHeads} ${dim} ${dtype}`;
  await frame.sessions.open(key, () => ({ bytes: storeModel(kvHeads, dim, dtype, frame.backend.provider) }));
  const old = into.tensor('float32', [kvHeads * slots, dim]);
  const positions = rows.map((r) => frame.rows.position[r]!);
  const at = places(kvHeads, slots, positions, [1]);
  const feeds = { old, x: await frame.value(value), rows: int64(rows, []), at };
  await frame.sessions.run(key, feeds, { y: old });
}

async function attend(frame: Frame, op: AttentionOp, rows: Rows, seen: Seen): Promise<void> {
  const { graph } = frame.scope;
  const spec = graph.states[op.state]!;
  const { heads, scale, softcap, sinks } = op;
  const most = Math.max(1, Math.floor(SCORE_BYTES / (4 * heads * seen.at.length)));
  const all = rows.length === frame.count && rows.length <= most;
  const { kvHeads, keyDim, valueDim } = spec;
  const shape = [heads, kvHeads, keyDim, valueDim, scale, softcap, sinks !== undefined, all];
  const key = `attention ${shape.join(' ')}`;
  await frame.sessions.open(key, () => ({ bytes: attentionModel(op, spec, !all) }));
  const y = frame.scope.tensor(op.out, frame.count);
  const fixed: Feeds = {
    q: await frame.value(op.q),
    k: seen.k,
    v: seen.v,
    at: new Tensor('float32', seen.at, [seen.at.length]),
    length: int64([seen.at.length], []),
    ...(sinks === undefined ? {} : { sinks: vectorTensor(frame.weights, sinks) }),
  };
  for (let n = 0; n < rows.length; n += most) {
    const some = rows.slice(n, n + most);
    const feeds: Feeds = {
      ...fixed,
      from: column(some.map((r) => firstVisible(frame, op, r))),
      to: column(some.map((r) => frame.rows.position[r]!)),
      ...(all ? {} : { rows: int64(some, []), places: int64(some, [1]), old: y }),
    };
    await frame.sessions.run(key, feeds, { y });
  }
}
