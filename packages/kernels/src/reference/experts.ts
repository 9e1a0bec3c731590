import type { CombineOp, ExpertOp, RouteOp } from '../graph/ops';
import { asInt32, type Frame, widthOf } from './frame';

export function route(frame: Frame, op: RouteOp): void {
  const logits = frame.value(op.logits);
  const ids = asInt32(frame.value(op.ids));
  const weights = frame.value(op.weights);
  const count = widthOf(frame, op.logits);
  const { topK } = op;
  for (let r = 0; r < frame.count; r++) {
    const row = logits.subarray(r * count, (r + 1) * count);
    const chosen = Array.from(row.keys())
      .sort((a, b) => row[b]! - row[a]! || a - b)
      .slice(0, topK);
    const scores = op.score === 'softmax' ? softmax(row) : Float64Array.from(row, (x) => 1 / (1 + Math.exp(-x)));
    const sum = op.normalise ? chosen.reduce((total, e) => total + scores[e]!, 0) : 1;
    chosen.forEach((e, j) => {
      ids[r * topK + j] = e;
      weights[r * topK + j] = (scores[e]! / sum) * op.scale;
    });
  }
}

function softmax(row: Float32Array): Float64Array {
  const max = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const scores = Float64Array.from(row, (x) => Math.exp(x - max));
  const sum = scores.reduce((a, b) => a + b, 0);
  return scores.map((score) => score / sum);
}

/** Places in `slots`, `row · topK + slot`, of the rows that chose an expert, in ascending order. */
export function rowsOfExpert(frame: Frame, op: ExpertOp, id: number): Int32Array {
  const ids = asInt32(frame.value(op.ids));
  return Int32Array.from(Array.from(ids.keys()).filter((place) => ids[place] === id));
}

/** Copies the rows at `places` of x, so that the sub-graph sees a pass of only these. */
export function gatherRows(x: Float32Array, width: number, places: Int32Array, topK: number, into: Float32Array): void {
  places.forEach((place, n) => {
    const r = Math.floor(place / topK);
    into.set(x.subarray(r * width, (r + 1) * width), n * width);
  });
}

export function scatterRows(y: Float32Array, width: number, places: Int32Array, slots: Float32Array): void {
  places.forEach((place, n) => {
    slots.set(y.subarray(n * width, (n + 1) * width), place * width);
  });
}

/** The slots of a row, weighted and added in router order. */
export function combine(frame: Frame, op: CombineOp): void {
  const slots = frame.value(op.slots);
  const weights = frame.value(op.weights);
  const out = frame.value(op.out);
  const width = widthOf(frame, op.out);
  for (let r = 0; r < frame.count; r++) {
    for (let i = 0; i < width; i++) {
      let sum = 0;
      for (let j = 0; j < op.topK; j++) {
        const place = r * op.topK + j;
        sum += weights[place]! * slots[place * width + i]!;
      }
      out[r * width + i] = sum;
    }
  }
}
