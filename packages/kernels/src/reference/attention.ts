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
  const { heads, softcap, window } = op;
  const q = frame.value(op.q);
  const out = frame.value(op.out);
  const last = frame.rows.position[r]!;
  const first = Math.max(frame.rows.visibleFrom[r]!, window === undefined ? 0 : last - window + 1);
  const firstBlock = Math.floor(first / BLOCK_POSITIONS);
  const blocks = Array.from({ length: Math.floor(last / BLOCK_POSITIONS) - firstBlock + 1 }, (_, b) => ({
    keys: state.keys(firstBlock + b),
    values: state.values(firstBlock + b),
  }));
  const scores = new Float64Array(last - first + 1);
  const sums = new Float64Array(valueDim);
  const outWidth = widthOf(frame, op.out);
  for (let h = 0; h < heads; h++) {
    const kvHead = Math.floor((h * kvHeads) / heads) * BLOCK_POSITIONS;
    const query = q.subarray((r * heads + h) * keyDim, (r * heads + h + 1) * keyDim);
    let max = Number.NEGATIVE_INFINITY;
    for (let t = first; t <= last; t++) {
      const { keys } = blocks[Math.floor(t / BLOCK_POSITIONS) - firstBlock]!;
      let score = dot(keys, (kvHead + (t % BLOCK_POSITIONS)) * keyDim, query, keyDim) * op.scale;
      if (softcap !== undefined) score = softcap * Math.tanh(score / softcap);
      scores[t - first] = score;
      if (score > max) max = score;
    }
    sums.fill(0);
    let total = 0;
    for (let t = first; t <= last; t++) {
      const weight = Math.exp(scores[t - first]! - max);
      total += weight;
      const { values } = blocks[Math.floor(t / BLOCK_POSITIONS) - firstBlock]!;
      const at = (kvHead + (t % BLOCK_POSITIONS)) * valueDim;
      for (let i = 0; i < valueDim; i++) sums[i] = sums[i]! + weight * values[at + i]!;
    }
    const at = r * outWidth + h * valueDim;
    for (let i = 0; i < valueDim; i++) out[at + i] = sums[i]! / total;
  }
}
