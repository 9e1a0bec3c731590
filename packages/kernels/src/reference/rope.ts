import type { RopeOp } from '../graph/ops';
import { ropeAngles } from '../rope/angles';
import { type Frame, widthOf } from './frame';

export function rope(frame: Frame, op: RopeOp): void {
  const x = frame.value(op.x);
  const out = frame.value(op.out);
  const spec = frame.graph.ropes[op.rope]!;
  const angles = ropeAngles(spec, frame.rows);
  const width = widthOf(frame, op.x);
  const half = spec.dim / 2;
  const [step, apart] = op.pairing === 'half' ? [1, half] : [2, 1];
  out.set(x);
  for (let at = 0; at < x.length; at += op.headDim) {
    const table = Math.floor(at / width) * spec.dim;
    for (let i = 0; i < half; i++) {
      const cos = angles[table + i]!;
      const sin = angles[table + half + i]!;
      const first = at + i * step;
      const a = x[first]!;
      const b = x[first + apart]!;
      out[first] = a * cos - b * sin;
      out[first + apart] = b * cos + a * sin;
    }
  }
}
