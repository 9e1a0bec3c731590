import type { AttentionOp } from '../graph/ops';
import { BLOCK_POSITIONS } from '../state/kv-layout';
import type { KvState } from '../state/kv-state';
import { type Frame, widthOf } from './frame';
import { dot } from './linear';

export function attention(frame: Frame, op: AttentionOp): void {
  const states = frame.states[op.state]!;
  // All rows first: a row sees those before it in the same pass.
  for (let r = 0; r < frame.count; r++) store(frame, op, r, states[frame.rows.sequence[r]!]!);
  for (let r = 0; r < frame.count; r++) attend(frame, op, r, states[frame.rows.sequence[r]!]!);
}

function store(frame: Frame, op: AttentionOp, r: number, state: KvState): void {
  const position = frame.rows.position[r]!;
  const block = Math.floor(position / BLOCK_POSITIONS);
  const slot = position % BLOCK_POSITIONS;
  const { kvHeads, keyDim, valueDim } = state.spec;
  const put = (from: Float32Array, to: Float32Array, dim: number) => {
    for (let h = 0; h < kvHeads; h++) {
      const at = (r * kvHeads + h) * dim;
      to.set(from.subarray(at, at + dim), (h * BLOCK_POSITIONS + slot) * dim);
    }
  };
  put(frame.value(op.k), state.keys(block), keyDim);
  put(frame.value(op.v), state.values(block), valueDim);
}

function attend(frame: Frame, op: AttentionOp, r: number, state: KvState): void {
  const { kvHeads, keyDim, valueDim } = state.spec;
  const { heads, window } = op;
  const q = frame.value(op.q);
  const out = frame.value(op.out);
  const last = frame.rows.position[r]!;
  const first = Math.max(frame.rows.visibleFrom[r]!, window === undefined ? 0 : last - window + 1);
  const scores = new Float64Array(last - first + 1);
  const outWidth = widthOf(frame, op.out);
  for (let h = 0; h < heads; h++) {
    const kvHead = Math.floor((h * kvHeads) / heads);
    const query = q.subarray((r * heads + h) * keyDim, (r * heads + h + 1) * keyDim);
    scoreKeys(op, state, kvHead, query, first, scores);
    const total = exponentiate(scores);
    const at = r * outWidth + h * valueDim;
    const sums = sumValues(state, kvHead, first, scores);
    for (let i = 0; i < valueDim; i++) out[at + i] = sums[i]! / total;
  }
}

/** Scores of the positions from `first` on, one per element of `scores`. */
function scoreKeys(
  op: AttentionOp,
  state: KvState,
  kvHead: number,
  query: Float32Array,
  first: number,
  scores: Float64Array,
): void {
  const { keyDim } = state.spec;
  const { softcap } = op;
  for (let n = 0; n < scores.length; n++) {
    const position = first + n;
    const keys = state.keys(Math.floor(position / BLOCK_POSITIONS));
    const at = (kvHead * BLOCK_POSITIONS + (position % BLOCK_POSITIONS)) * keyDim;
    const score = dot(keys, at, query, keyDim) * op.scale;
    scores[n] = softcap === undefined ? score : softcap * Math.tanh(score / softcap);
  }
}

/** Replaces scores by exp(score - max); their sum. */
function exponentiate(scores: Float64Array): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let n = 0; n < scores.length; n++) max = Math.max(max, scores[n]!);
  let total = 0;
  for (let n = 0; n < scores.length; n++) {
    const weight = Math.exp(scores[n]! - max);
    scores[n] = weight;
    total += weight;
  }
  return total;
}

function sumValues(state: KvState, kvHead: number, first: number, weights: Float64Array): Float64Array {
  const { valueDim } = state.spec;
  const sums = new Float64Array(valueDim);
  for (let n = 0; n < weights.length; n++) {
    const position = first + n;
    const values = state.values(Math.floor(position / BLOCK_POSITIONS));
    const at = (kvHead * BLOCK_POSITIONS + (position % BLOCK_POSITIONS)) * valueDim;
    const weight = weights[n]!;
    for (let i = 0; i < valueDim; i++) sums[i] = sums[i]! + weight * values[at + i]!;
  }
  return sums;
}
