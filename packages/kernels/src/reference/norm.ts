import type { LayerNormOp, RmsNormOp } from '../graph/ops';
import { type Frame, vectorOf } from './frame';

export function rmsNorm(frame: Frame, op: RmsNormOp): void {
  const x = frame.value(op.x);
  const out = frame.value(op.out);
  const weight = vectorOf(frame, 'rmsNorm', op.weight);
  const width = op.groupWidth;
  for (let at = 0; at < x.length; at += width) {
    let squares = 0;
    for (let i = 0; i < width; i++) squares += x[at + i]! ** 2;
    const scale = 1 / Math.sqrt(squares / width + op.eps);
    for (let i = 0; i < width; i++) {
      out[at + i] = x[at + i]! * scale * (weight === undefined ? 1 : weight[i]! + op.weightOffset);
    }
  }
}

export function layerNorm(frame: Frame, op: LayerNormOp): void {
  const x = frame.value(op.x);
  const out = frame.value(op.out);
  const weight = vectorOf(frame, 'layerNorm', op.weight);
  const bias = vectorOf(frame, 'layerNorm', op.bias);
  const width = op.groupWidth;
  for (let at = 0; at < x.length; at += width) {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += x[at + i]!;
    const mean = sum / width;
    let squares = 0;
    for (let i = 0; i < width; i++) squares += (x[at + i]! - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / width + op.eps);
    for (let i = 0; i < width; i++) {
      out[at + i] = (x[at + i]! - mean) * scale * (weight?.[i] ?? 1) + (bias?.[i] ?? 0);
    }
  }
}
