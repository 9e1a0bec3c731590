import type { ActivationOp, BinaryOp, GatedOp, ScaleOp, SliceOp, SoftcapOp } from '../graph/ops';
import { ACTIVATIONS } from './activations';
import { type Frame, widthOf } from './frame';

export function activation(frame: Frame, op: ActivationOp): void {
  const x = frame.value(op.x);
  const out = frame.value(op.out);
  const act = ACTIVATIONS[op.kind];
  for (let i = 0; i < x.length; i++) out[i] = act(x[i]!);
}

export function gated(frame: Frame, op: GatedOp): void {
  const gate = frame.value(op.gate);
  const up = frame.value(op.up);
  const out = frame.value(op.out);
  const act = ACTIVATIONS[op.kind];
  const { limit = Number.POSITIVE_INFINITY, shift = 0 } = op;
  for (let i = 0; i < gate.length; i++) {
    const shifted = Math.max(-limit, Math.min(up[i]!, limit)) + shift;
    out[i] = act(Math.min(gate[i]!, limit)) * shifted;
  }
}

export function binary(frame: Frame, op: BinaryOp): void {
  const a = frame.value(op.a);
  const b = frame.value(op.b);
  const out = frame.value(op.out);
  if (op.op === 'add') for (let i = 0; i < a.length; i++) out[i] = a[i]! + b[i]!;
  else for (let i = 0; i < a.length; i++) out[i] = a[i]! * b[i]!;
}

export function scale(frame: Frame, op: ScaleOp): void {
  const x = frame.value(op.x);
  const out = frame.value(op.out);
  for (let i = 0; i < x.length; i++) out[i] = x[i]! * op.by;
}

export function softcap(frame: Frame, op: SoftcapOp): void {
  const x = frame.value(op.x);
  const out = frame.value(op.out);
  for (let i = 0; i < x.length; i++) out[i] = op.cap * Math.tanh(x[i]! / op.cap);
}

export function slice(frame: Frame, op: SliceOp): void {
  const x = frame.value(op.x);
  const out = frame.value(op.out);
  const from = widthOf(frame, op.x);
  const to = widthOf(frame, op.out);
  const { step = 1 } = op;
  for (let r = 0; r < frame.count; r++) {
    for (let i = 0; i < to; i++) out[r * to + i] = x[r * from + op.from + i * step]!;
  }
}
