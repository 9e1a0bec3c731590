import type { LayerNormOp, RmsNormOp } from '../../../graph/ops';
import { type Lowering, widthOf } from './context';

export function rmsNorm(lowering: Lowering, op: RmsNormOp): string {
  const { model } = lowering;
  return grouped(lowering, op, (x) => {
    const scale =
      op.weight === undefined ? ones(lowering, op.groupWidth) : shifted(lowering, op.weight, op.weightOffset);
    return model.node('SimplifiedLayerNormalization', [x, scale], { axis: -1, epsilon: { float: op.eps } });
  });
}

export function layerNorm(lowering: Lowering, op: LayerNormOp): string {
  const { model } = lowering;
  return grouped(lowering, op, (x) => {
    // Some provider takes the variance as the mean of squares less the square of the mean: so the mean goes first.
    const mean = model.node('ReduceMean', [x, model.ints([-1])], { keepdims: 1 });
    const centred = model.node('Sub', [x, mean]);
    const scale = op.weight === undefined ? ones(lowering, op.groupWidth) : lowering.vector(op.weight);
    const bias = op.bias === undefined ? [] : [lowering.vector(op.bias)];
    return model.node('LayerNormalization', [centred, scale, ...bias], { axis: -1, epsilon: { float: op.eps } });
  });
}

/** Normalises each group of columns as a row of its own. */
function grouped(lowering: Lowering, op: RmsNormOp | LayerNormOp, norm: (x: string) => string): string {
  const { model } = lowering;
  const width = widthOf(lowering, op.x);
  const x = lowering.value(op.x);
  if (op.groupWidth === width) return norm(x);
  const groups = model.node('Reshape', [x, model.ints([0, width / op.groupWidth, op.groupWidth])]);
  return model.node('Reshape', [norm(groups), model.ints([0, width])]);
}

function ones({ model }: Lowering, length: number): string {
  return model.float(Array.from({ length }, () => 1));
}

function shifted({ model, vector }: Lowering, weight: number, by: number): string {
  return by === 0 ? vector(weight) : model.node('Add', [vector(weight), model.float(by)]);
}
