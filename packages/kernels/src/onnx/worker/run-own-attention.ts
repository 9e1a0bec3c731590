import { Tensor } from 'onnxruntime-node';
import type { KvStateSpec } from '../../graph/graph';
import type { AttentionOp } from '../../graph/ops';
import { SCORE_BYTES } from '../sizes';
import type { Feeds } from './backend';
import { positionsAt, type WorkerState } from './device-state';
import type { Frame } from './frame';
import { type OwnAttentionForm, ownAttentionModel } from './lower/own-attention';
import { column, firstVisible, int64, type Rows } from './sequence-rows';
import { vectorTensor } from './weight-tensor';

/**
 * Whether onnxruntime's own attention takes these rows, and may be as good as plain operators. It knows no rings, nor
 * values of another width than keys, nor widths that are no multiple of 8. On WebGPU only of one row: of 32 and more its
 * results were wrong on SwiftShader (and have been on GPUs: microsoft/onnxruntime#28520), of fewer right but slower; and
 * its softcap is off by 1e-4.
 */
export function hasOwnAttention({ rows, backend }: Frame, op: AttentionOp, state: WorkerState, of: Rows): boolean {
  const { spec, slots } = state;
  const position = (n: number) => rows.position[of[n]!]!;
  const last = position(of.length - 1);
  if (spec.keyDim !== spec.valueDim || spec.keyDim % 8 !== 0) return false;
  if (last >= slots || last - position(0) !== of.length - 1) return false;
  return backend.provider === 'cpu' || (of.length === 1 && op.softcap === undefined);
}

/** Stores the rows' keys and values and attends, in one session. */
export async function runOwnAttention(frame: Frame, op: AttentionOp, state: WorkerState, rows: Rows): Promise<void> {
  const { position } = frame.rows;
  const length = position[rows.at(-1)!]! + 1;
  const most = Math.max(1, Math.floor(SCORE_BYTES / (4 * op.heads * length)));
  for (let n = 0; n < rows.length; n += most) await runSome(frame, op, state, rows.slice(n, n + most));
}

/** Names what its kernels are made for. */
export function shapeOf(
  { heads, scale, softcap, sinks }: AttentionOp,
  { kvHeads, keyDim, dtype }: KvStateSpec,
): string {
  return `own attention ${[heads, kvHeads, keyDim, dtype, scale, softcap, sinks !== undefined].join(' ')}`;
}

async function runSome(frame: Frame, op: AttentionOp, state: WorkerState, rows: Rows): Promise<void> {
  const { sessions, scope, backend } = frame;
  const { spec, slots } = state;
  const { sinks } = op;
  const first = rows.map((r) => firstVisible(frame, op, r));
  const form: OwnAttentionForm = {
    provider: backend.provider,
    picks: rows.length !== frame.count,
    masked: first.some((from) => from > 0),
  };
  const key = `${shapeOf(op, spec)} ${form.picks} ${form.masked}`;
  const model = await sessions.open(key, () => ownAttentionModel(op, spec, form));
  const last = frame.rows.position[rows.at(-1)!]!;
  const y = scope.tensor(op.out, frame.count);
  const dims = [1, spec.kvHeads, slots, spec.keyDim];
  const [keys, values] = [state.keys.tensor('float32', dims), state.values.tensor('float32', dims)];
  const feeds: Feeds = {
    q: await frame.value(op.q),
    k: await frame.value(op.k),
    v: await frame.value(op.v),
    keys,
    values,
    last: new Tensor('int32', Int32Array.of(last), [1]),
    length: new Tensor('int32', Int32Array.of(last + 1), [1]),
    ...(form.masked
      ? { at: new Tensor('float32', positionsAt(slots, last + 1), [last + 1]), from: column(first) }
      : {}),
    ...(sinks === undefined ? {} : { sinks: vectorTensor(frame.weights, sinks) }),
    ...(form.picks ? { rows: int64(rows, []), places: int64(rows, [1]), old: y } : {}),
  };
  await sessions.run(key, feeds, { y, [model.keys]: keys, [model.values]: values });
}
