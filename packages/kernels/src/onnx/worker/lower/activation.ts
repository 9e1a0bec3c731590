import type { ActivationName, ActivationOp, GatedOp } from '../../../graph/ops';
import type { ModelBuilder } from '../model/model-builder';
import type { Lowering } from './context';

const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);

/** Each in plain operators, so that its formula is the one of `ACT2FN` on every provider. */
const ACTIVATIONS: Readonly<Record<ActivationName, (m: ModelBuilder, x: string) => string>> = {
  silu: (m, x) => m.node('Mul', [x, m.node('Sigmoid', [x])]),
  gelu: (m, x) => half(m, x, m.node('Erf', [m.node('Mul', [x, m.float(Math.SQRT1_2)])])),
  gelu_tanh: (m, x) => {
    const cube = m.node('Mul', [m.node('Mul', [x, x]), x]);
    const inner = m.node('Add', [x, m.node('Mul', [cube, m.float(0.044715)])]);
    return half(m, x, m.node('Tanh', [m.node('Mul', [inner, m.float(SQRT_2_OVER_PI)])]));
  },
  gelu_quick: (m, x) => m.node('Mul', [x, m.node('Sigmoid', [m.node('Mul', [x, m.float(1.702)])])]),
  relu: (m, x) => m.node('Relu', [x]),
  relu2: (m, x) => {
    const positive = m.node('Relu', [x]);
    return m.node('Mul', [positive, positive]);
  },
  sigmoid: (m, x) => m.node('Sigmoid', [x]),
  tanh: (m, x) => m.node('Tanh', [x]),
};

/** x / 2 · (1 + y) */
function half(m: ModelBuilder, x: string, y: string): string {
  return m.node('Mul', [m.node('Mul', [x, m.float(0.5)]), m.node('Add', [y, m.float(1)])]);
}

export function activation({ model, value }: Lowering, op: ActivationOp): string {
  return ACTIVATIONS[op.kind](model, value(op.x));
}

export function gated({ model, value }: Lowering, op: GatedOp): string {
  const { limit, shift = 0, kind } = op;
  let gate = value(op.gate);
  let up = value(op.up);
  if (limit !== undefined) {
    gate = model.node('Min', [gate, model.float(limit)]);
    up = model.node('Max', [model.node('Min', [up, model.float(limit)]), model.float(-limit)]);
  }
  if (shift !== 0) up = model.node('Add', [up, model.float(shift)]);
  return model.node('Mul', [ACTIVATIONS[kind](model, gate), up]);
}
