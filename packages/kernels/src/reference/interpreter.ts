import type { Part } from '../graph/graph';
import type { ExpertOp, Op, OpName } from '../graph/ops';
import { attention } from './attention';
import { activation, binary, gated, scale, slice, softcap } from './elementwise';
import { embed } from './embed';
import { combine, route } from './experts';
import type { Frame } from './frame';
import { linear } from './linear';
import { layerNorm, rmsNorm } from './norm';
import { rope } from './rope';

type Run<N extends OpName> = (frame: Frame, op: Extract<Op, { op: N }>, slice: Part['slice']) => void;

/** The file of each op; `expert` is not here, because it runs another graph. */
const OPS: { readonly [N in Exclude<OpName, 'expert'>]: Run<N> } = {
  embed,
  rmsNorm,
  layerNorm,
  linear,
  rope,
  attention,
  activation,
  gated,
  add: binary,
  mul: binary,
  scale,
  softcap,
  slice,
  route,
  combine,
};

/** Runs the ops of a part in order; `expert` is what the one op of another graph does. */
export function runOps(frame: Frame, part: Part, expert: (op: ExpertOp, index: number) => void): void {
  for (let index = part.from; index < part.to; index++) {
    const op = frame.graph.ops[index]!;
    if (op.op === 'expert') expert(op, index);
    else (OPS[op.op] as Run<OpName>)(frame, op, part.slice);
  }
}
