import type { LinearOp } from '../../../graph/ops';
import { BNB4_TABLES } from '../weights';
import { type Lowering, widthOf } from './context';

/** A whole linear; pieces of `out,in` make columns of the result, pieces of `in,out` are added in order. */
export function linear(lowering: Lowering, op: LinearOp): string {
  const product =
    lowering.graph.weights[op.weight]!.layout === 'in,out'
      ? inOut(lowering, op, { from: 0, to: widthOf(lowering, op.x) })
      : outIn(lowering, op);
  return op.bias === undefined ? product : lowering.model.node('Add', [product, lowering.vector(op.bias)]);
}

/** x · Wᵀ for the rows of the matrix that were given. */
export function outIn(lowering: Lowering, op: LinearOp): string {
  const { model, matrix, value, weights } = lowering;
  const x = value(op.x);
  const columns =
    weights.get(op.weight)!.form === undefined
      ? matrix(op.weight).map(({ name }) => model.node('Gemm', [x, name], { transB: 1 }))
      : packedOutIn(lowering, op, x);
  return columns.length === 1 ? columns[0]! : model.node('Concat', columns, { axis: 1 });
}

/** From codes, with activations in the order of their columns. */
function packedOutIn({ model, packed }: Lowering, op: LinearOp, x: string): string[] {
  const { pieces, order, weight } = packed(op.weight);
  const { form, columns, table } = weight;
  const ordered = order === undefined ? x : model.node('Gather', [x, order], { axis: 1 });
  const sizes = { K: columns, block_size: form.block };
  const [type, how] =
    table === undefined
      ? ['com.microsoft.MatMulNBits', { bits: form.bits }]
      : ['com.microsoft.MatMulBnb4', { quant_type: BNB4_TABLES[table] }];
  return pieces.map(({ inputs, rows }) => model.node(type, [ordered, ...inputs], { ...sizes, ...how, N: rows }));
}

/** Columns `[from, to)` of x, every `step`-th of them. */
export function columnsOf({ model }: Lowering, x: string, from: number, to: number, step = 1): string {
  return model.node('Slice', [x, model.ints([from]), model.ints([to]), model.ints([1]), model.ints([step])]);
}

/** The share of a slice of an `in,out` matrix, columns `[from, to)` of x, and of those before it. */
export function inOut(
  lowering: Lowering,
  op: LinearOp,
  slice: { readonly from: number; readonly to: number },
  before?: string,
): string {
  const { model } = lowering;
  const x = lowering.value(op.x);
  const whole = slice.from === 0 && slice.to === widthOf(lowering, op.x);
  const pieces = lowering.matrix(op.weight);
  let sum = before;
  let { from } = slice;
  for (const { name, rows } of pieces) {
    const part = whole && pieces.length === 1 ? x : columnsOf(lowering, x, from, from + rows);
    sum = model.node('Gemm', sum === undefined ? [part, name] : [part, name, sum]);
    from += rows;
  }
  return sum!;
}
