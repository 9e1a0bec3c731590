import type { Part } from '../graph/graph';
import type { LinearOp } from '../graph/ops';
import { roundedToBf16 } from './bf16';
import { type Frame, matrixOf, vectorOf, widthOf } from './frame';

export function linear(frame: Frame, op: LinearOp, slice: Part['slice']): void {
  if (frame.graph.weights[op.weight]!.layout === 'in,out') linearInOut(frame, op, slice);
  else linearOutIn(frame, op, slice);
}

/** Under `bfloat16`, bf16 and packed matrices meet activations rounded to bf16. */
function rounds(frame: Frame, op: LinearOp): boolean {
  const { dtype, packed } = frame.graph.weights[op.weight]!;
  return frame.computeDtype === 'bfloat16' && (dtype === 'BF16' || packed !== undefined);
}

function activations(frame: Frame, op: LinearOp): Float32Array {
  const x = frame.value(op.x);
  return rounds(frame, op) ? roundedToBf16(x) : x;
}

/** Each weight row makes one column of the output: decoded once, used by every row of the pass. */
function linearOutIn(frame: Frame, op: LinearOp, slice: Part['slice']): void {
  const x = activations(frame, op);
  const out = frame.value(op.out);
  const inWidth = widthOf(frame, op.x);
  const outWidth = widthOf(frame, op.out);
  const from = slice?.from ?? 0;
  const to = slice?.to ?? outWidth;
  const weight = matrixOf(frame, 'linear', op.weight, { from, count: to - from });
  const bias = vectorOf(frame, 'linear', op.bias);
  const rounded = rounds(frame, op);
  for (let o = from; o < to; o++) {
    const stored = weight.row(o - from);
    const row = rounded ? roundedToBf16(stored) : stored;
    const b = bias?.[o] ?? 0;
    for (let r = 0; r < frame.count; r++) out[r * outWidth + o] = dot(x, r * inWidth, row, inWidth) + b;
  }
}

/** Each weight row is one input's share of every output; the sums run over all slices in float64. */
function linearInOut(frame: Frame, op: LinearOp, slice: Part['slice']): void {
  const x = activations(frame, op);
  const out = frame.value(op.out);
  const inWidth = widthOf(frame, op.x);
  const outWidth = widthOf(frame, op.out);
  const from = slice?.from ?? 0;
  const to = slice?.to ?? inWidth;
  const weight = matrixOf(frame, 'linear', op.weight, { from, count: to - from });
  const sums = frame.partialSums.take(out.length, from === 0);
  for (let i = from; i < to; i++) {
    const row = weight.row(i - from);
    for (let r = 0; r < frame.count; r++) {
      const xi = x[r * inWidth + i]!;
      const at = r * outWidth;
      for (let o = 0; o < outWidth; o++) sums[at + o] = sums[at + o]! + xi * row[o]!;
    }
  }
  if (to < inWidth) return;
  const bias = vectorOf(frame, 'linear', op.bias);
  for (let at = 0; at < sums.length; at++) out[at] = sums[at]! + (bias?.[at % outWidth] ?? 0);
  frame.partialSums.drop();
}

/** Four sums at a time, so that an addition need not wait for the one before. */
export function dot(x: Float32Array, at: number, w: Float32Array, width: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = 0;
  for (; i + 4 <= width; i += 4) {
    a += x[at + i]! * w[i]!;
    b += x[at + i + 1]! * w[i + 1]!;
    c += x[at + i + 2]! * w[i + 2]!;
    d += x[at + i + 3]! * w[i + 3]!;
  }
  for (; i < width; i++) a += x[at + i]! * w[i]!;
  return a + b + (c + d);
}
