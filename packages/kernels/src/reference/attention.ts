import type { AttentionOp } from '../graph/ops';
import { remember } from '../remember';
import type { KvState } from '../state/kv-state';
import { type Frame, vectorOf, widthOf } from './frame';
import { dot } from './linear';

/** What the rows of a pass see of one key head of one sequence, decoded: `[positions, dim]` from position `first` on. */
interface Seen {
  readonly first: number;
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

export function attention(frame: Frame, op: AttentionOp): void {
  const states = frame.states[op.state]!;
  const stateOf = (r: number) => states[frame.rows.sequence[r]!]!;
  // All rows first: a row sees those before it in the same pass.
  for (let r = 0; r < frame.count; r++) store(frame, op, r, stateOf(r));
  const sinks = vectorOf(frame, 'attention', op.sinks);
  const { kvHeads } = frame.graph.states[op.state]!;
  const group = op.heads / kvHeads;
  for (let head = 0; head < kvHeads; head++) {
    const seen = new Map<KvState, Seen>();
    for (let r = 0; r < frame.count; r++) {
      const visible = remember(seen, stateOf(r), () => visibleKeys(frame, op, stateOf(r), head));
      for (let h = head * group; h < (head + 1) * group; h++) attend(frame, op, r, h, visible, sinks?.[h]);
    }
  }
}

function store(frame: Frame, op: AttentionOp, r: number, state: KvState): void {
  const row = (id: AttentionOp['k']) => frame.value(id).subarray(r * widthOf(frame, id), (r + 1) * widthOf(frame, id));
  state.write(frame.rows.position[r]!, row(op.k), row(op.v));
}

function firstVisible(frame: Frame, op: AttentionOp, r: number): number {
  return Math.max(frame.rows.visibleFrom[r]!, op.window === undefined ? 0 : frame.rows.position[r]! - op.window + 1);
}

/** Positions that any row of a sequence sees. */
function visibleKeys(frame: Frame, op: AttentionOp, state: KvState, head: number): Seen {
  let first = Number.POSITIVE_INFINITY;
  let last = -1;
  for (let r = 0; r < frame.count; r++) {
    if (frame.states[op.state]![frame.rows.sequence[r]!] !== state) continue;
    first = Math.min(first, firstVisible(frame, op, r));
    last = Math.max(last, frame.rows.position[r]!);
  }
  return {
    first,
    keys: state.read('key', head, first, last + 1),
    values: state.read('value', head, first, last + 1),
  };
}

function attend(frame: Frame, op: AttentionOp, r: number, h: number, seen: Seen, sink: number | undefined): void {
  const { keyDim, valueDim } = frame.graph.states[op.state]!;
  const from = firstVisible(frame, op, r) - seen.first;
  const to = frame.rows.position[r]! + 1 - seen.first;
  const query = frame.value(op.q).subarray((r * op.heads + h) * keyDim, (r * op.heads + h + 1) * keyDim);
  const scores = new Float64Array(to - from);
  for (let n = 0; n < scores.length; n++) {
    const score = dot(seen.keys, (from + n) * keyDim, query, keyDim) * op.scale;
    scores[n] = op.softcap === undefined ? score : op.softcap * Math.tanh(score / op.softcap);
  }
  const total = exponentiate(scores, sink);
  const sums = new Float64Array(valueDim);
  scores.forEach((weight, n) => {
    const at = (from + n) * valueDim;
    for (let i = 0; i < valueDim; i++) sums[i] = sums[i]! + weight * seen.values[at + i]!;
  });
  const at = r * widthOf(frame, op.out) + h * valueDim;
  const out = frame.value(op.out);
  for (let i = 0; i < valueDim; i++) out[at + i] = sums[i]! / total;
}

/** Replaces scores by exp(score - max); their sum, a sink's share in it. */
function exponentiate(scores: Float64Array, sink: number | undefined): number {
  let max = sink ?? Number.NEGATIVE_INFINITY;
  for (let n = 0; n < scores.length; n++) max = Math.max(max, scores[n]!);
  let total = sink === undefined ? 0 : Math.exp(sink - max);
  for (let n = 0; n < scores.length; n++) {
    const weight = Math.exp(scores[n]! - max);
    scores[n] = weight;
    total += weight;
  }
  return total;
}
