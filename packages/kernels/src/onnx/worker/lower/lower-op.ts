import { GraphError } from '../../../errors';
import type { CombineOp, EmbedOp, Op, SliceOp, ValueId } from '../../../graph/ops';
import { activation, gated } from './activation';
import { type Lowering, widthOf } from './context';
import { columnsOf, linear } from './linear';
import { layerNorm, rmsNorm } from './norm';
import { rope } from './rope';

/** Adds one op that looks at nothing but its rows; the name of its output. */
export function lowerOp(lowering: Lowering, op: Op): { readonly id: ValueId; readonly name: string } {
  const { model, value } = lowering;
  const made = (name: string) => ({ id: (op as { out: ValueId }).out, name });
  switch (op.op) {
    case 'embed':
      return made(embed(lowering, op));
    case 'rmsNorm':
      return made(rmsNorm(lowering, op));
    case 'layerNorm':
      return made(layerNorm(lowering, op));
    case 'linear':
      return made(linear(lowering, op));
    case 'rope':
      return made(rope(lowering, op));
    case 'activation':
      return made(activation(lowering, op));
    case 'gated':
      return made(gated(lowering, op));
    case 'add':
      return made(model.node('Add', [value(op.a), value(op.b)]));
    case 'mul':
      return made(model.node('Mul', [value(op.a), value(op.b)]));
    case 'scale':
      return made(model.node('Mul', [value(op.x), model.float(op.by)]));
    case 'softcap':
      return made(softcap(lowering, value(op.x), op.cap));
    case 'slice':
      return made(slice(lowering, op));
    case 'combine':
      return made(combine(lowering, op));
    default:
      throw new GraphError(op.op, 'it looks at more than its rows and cannot be put into a session');
  }
}

/** cap · tanh(x / cap) */
export function softcap({ model }: Pick<Lowering, 'model'>, x: string, cap: number): string {
  return model.node('Mul', [model.node('Tanh', [model.node('Div', [x, model.float(cap)])]), model.float(cap)]);
}

function embed({ model, gathered }: Lowering, op: EmbedOp): string {
  const rows = gathered(op.weight);
  return op.scale === 1 ? rows : model.node('Mul', [rows, model.float(op.scale)]);
}

function slice(lowering: Lowering, op: SliceOp): string {
  const { step = 1 } = op;
  const to = op.from + (widthOf(lowering, op.out) - 1) * step + 1;
  return columnsOf(lowering, lowering.value(op.x), op.from, to, step);
}

function combine(lowering: Lowering, op: CombineOp): string {
  const { model, value } = lowering;
  const slots = model.node('Reshape', [value(op.slots), model.ints([0, op.topK, widthOf(lowering, op.out)])]);
  const weights = model.node('Reshape', [value(op.weights), model.ints([0, op.topK, 1])]);
  const weighted = model.node('Mul', [slots, weights]);
  return model.node('ReduceSum', [weighted, model.ints([1])], { keepdims: 0 });
}
