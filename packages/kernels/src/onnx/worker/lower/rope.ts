import type { RopeOp } from '../../../graph/ops';
import { type Lowering, widthOf } from './context';

/** By onnxruntime's own op, with the table of the pass as its cache: row r is looked up at place r. */
export function rope(lowering: Lowering, op: RopeOp): string {
  const { model, graph } = lowering;
  const width = widthOf(lowering, op.x);
  const { cos, sin, ids } = lowering.rope(op.rope);
  const { dim } = graph.ropes[op.rope]!;
  const x = model.node('Reshape', [lowering.value(op.x), model.ints([1, -1, width])]);
  const turned = model.node('com.microsoft.RotaryEmbedding', [x, ids, cos, sin], {
    interleaved: op.pairing === 'interleaved' ? 1 : 0,
    num_heads: width / op.headDim,
    rotary_embedding_dim: dim === op.headDim ? 0 : dim,
  });
  return model.node('Reshape', [turned, model.ints([-1, width])]);
}
