import type { EmbedOp } from '../graph/ops';
import { type Frame, matrixOf } from './frame';

/** The weight given holds one row per pass row, already gathered. */
export function embed(frame: Frame, op: EmbedOp): void {
  const out = frame.value(op.out);
  const weight = matrixOf(frame, 'embed', op.weight, { from: 0, count: frame.count });
  for (let r = 0; r < frame.count; r++) {
    const row = weight.row(r);
    for (let i = 0; i < row.length; i++) out[r * row.length + i] = row[i]! * op.scale;
  }
}
