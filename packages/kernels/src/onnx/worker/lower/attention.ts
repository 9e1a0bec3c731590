import type { KvStateSpec } from '../../../graph/graph';
import type { AttentionOp } from '../../../graph/ops';
import type { Provider } from '../../protocol';
import { ModelBuilder } from '../model/model-builder';
import { softcap } from './lower-op';

/** Far below every score, and finite: a masked score less the largest must not be NaN. */
export const MASKED = -3e38;

/**
 * Attention of rows of one sequence over its keys and values, in plain operators:
 * `q` `[n, heads · keyDim]`, `k` `[kvHeads, slots, keyDim]`, `v` `[kvHeads, slots, valueDim]`, of which the first `length`
 * slots hold something; `at` `[length]` is the position of each key, `from` and `to` `[n, 1]` the first and last position each row sees; `y` `[n, heads · valueDim]`.
 * With `picks`, queries are rows `rows` `[n]` of `q`, and results go to rows `places` `[n, 1]` of `old`, whose memory `y`
 * has too.
 */
export function attentionModel(op: AttentionOp, spec: KvStateSpec, picks: boolean): Uint8Array {
  const m = new ModelBuilder();
  const { heads } = op;
  const { kvHeads, keyDim, valueDim } = spec;
  const group = heads / kvHeads;
  const all = m.input('q', 'float32', [picks ? 'all' : 'n', heads * keyDim]);
  const q = picks ? m.node('Gather', [all, m.input('rows', 'int64', ['n'])], { axis: 0 }) : all;
  const k = m.input('k', 'float32', [kvHeads, 'slots', keyDim]);
  const v = m.input('v', 'float32', [kvHeads, 'slots', valueDim]);
  const length = m.input('length', 'int64', [1]);
  const at = m.input('at', 'float32', ['length']);
  const from = m.input('from', 'float32', ['n', 1]);
  const to = m.input('to', 'float32', ['n', 1]);

  const filled = (x: string) => m.node('Slice', [x, m.ints([0]), length, m.ints([1])]);
  const split = m.node('Reshape', [q, m.ints([0, kvHeads, group, keyDim])]);
  const queries = m.node('Transpose', [split], { perm: [1, 2, 0, 3] });
  const turned = m.node('Transpose', [filled(k)], { perm: [0, 2, 1] });
  const keys = m.node('Reshape', [turned, m.ints([kvHeads, 1, keyDim, -1])]);
  const values = m.node('Reshape', [filled(v), m.ints([kvHeads, 1, -1, valueDim])]);

  let scores = m.node('Mul', [m.node('MatMul', [queries, keys]), m.float(op.scale)]);
  if (op.softcap !== undefined) scores = softcap({ model: m }, scores, op.softcap);
  const seen = m.node('And', [m.node('GreaterOrEqual', [at, from]), m.node('LessOrEqual', [at, to])]);
  const masked = m.node('Where', [seen, scores, m.float(MASKED)]);
  const weights =
    op.sinks === undefined ? m.node('Softmax', [masked], { axis: -1 }) : withSinks(m, masked, kvHeads, group);
  const mixed = m.node('Transpose', [m.node('MatMul', [weights, values])], { perm: [2, 0, 1, 3] });
  const width = heads * valueDim;
  const y = m.node('Reshape', [mixed, m.ints([0, width])]);
  if (picks) {
    const old = m.input('old', 'float32', ['all', width]);
    m.outputNode('y', 'ScatterND', [old, m.input('places', 'int64', ['n', 1]), y], ['all', width]);
  } else m.output('y', y, 'float32', ['n', width]);
  return m.build();
}

/** One more score per head, which takes part in the sum and has no value. */
function withSinks(m: ModelBuilder, scores: string, kvHeads: number, group: number): string {
  const sinks = m.input('sinks', 'float32', [kvHeads * group]);
  const one = m.node('Reshape', [sinks, m.ints([kvHeads, group, 1, 1])]);
  // As tall as the scores: a column of them times zero, plus the sink.
  const first = m.node('Slice', [scores, m.ints([0]), m.ints([1]), m.ints([3])]);
  const column = m.node('Add', [m.node('Mul', [m.node('Clip', [first, m.float(-1), m.float(1)]), m.float(0)]), one]);
  const all = m.node('Softmax', [m.node('Concat', [scores, column], { axis: 3 })], { axis: -1 });
  return m.node('Slice', [all, m.ints([0]), m.ints([-1]), m.ints([3])]);
}

/**
 * Puts rows `rows` `[n]` of `x` `[all, heads · dim]` into a state `old` `[heads · slots, dim]` at places `at`
 * `[heads · n, 1]`, head by head, rounded as its dtype says. Run with the same memory as `old` and `y`.
 */
export function storeModel(heads: number, dim: number, dtype: KvStateSpec['dtype'], provider: Provider): Uint8Array {
  const m = new ModelBuilder();
  const old = m.input('old', 'float32', ['places', dim]);
  const at = m.input('at', 'int64', ['vectors', 1]);
  const all = m.input('x', 'float32', ['all', heads * dim]);
  const x = m.node('Gather', [all, m.input('rows', 'int64', ['n'])], { axis: 0 });
  const split = m.node('Reshape', [asKept(m, x, { heads, dim, dtype, provider }), m.ints([0, heads, dim])]);
  const byHead = m.node('Reshape', [m.node('Transpose', [split], { perm: [1, 0, 2] }), m.ints([-1, dim])]);
  m.outputNode('y', 'ScatterND', [old, at, byHead], ['places', dim]);
  return m.build();
}

/** Keys or values `[n, heads · dim]` rounded as a state of that dtype keeps them. */
export function asKept(
  m: ModelBuilder,
  x: string,
  { heads, dim, dtype, provider }: { heads: number; dim: number; dtype: KvStateSpec['dtype']; provider: Provider },
): string {
  if (dtype === 'bfloat16') return toBf16(m, x, provider);
  return dtype === 'int8' ? toInt8(m, x, heads, dim) : x;
}

/** Not every provider has bf16; there, x · (2¹⁶ + 1) less its difference from x leaves the first 8 bits (Veltkamp). */
function toBf16(m: ModelBuilder, x: string, provider: Provider): string {
  if (provider === 'cpu') return m.node('Cast', [m.node('Cast', [x], { to: 16 })], { to: 1 });
  const large = m.node('Mul', [x, m.float(2 ** 16 + 1)]);
  return m.node('Sub', [large, m.node('Sub', [large, x])]);
}

/** Each head's largest magnitude is 127. */
function toInt8(m: ModelBuilder, x: string, heads: number, dim: number): string {
  const split = m.node('Reshape', [x, m.ints([0, heads, dim])]);
  const largest = m.node('ReduceMax', [m.node('Abs', [split]), m.ints([2])], { keepdims: 1 });
  const scale = m.node('Div', [largest, m.float(127)]);
  const unit = m.node('Where', [m.node('Equal', [scale, m.float(0)]), m.float(1), scale]);
  const whole = m.node('Round', [m.node('Div', [split, unit])]);
  const kept = m.node('Max', [m.node('Min', [whole, m.float(127)]), m.float(-127)]);
  return m.node('Reshape', [m.node('Mul', [kept, scale]), m.ints([0, heads * dim])]);
}
