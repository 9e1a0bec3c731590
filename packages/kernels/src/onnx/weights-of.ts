import type { Graph, Part } from '../graph/graph';

/** The graph a part's weights belong to, and the part of it: of an expert, its sub-graph's. */
export function weightsOf(graph: Graph, part: Part): { readonly graph: Graph; readonly part: Part } {
  const op = graph.ops[part.from]!;
  if (op.op !== 'expert') return { graph, part };
  return { graph: op.graph, part: part.expert?.part ?? { from: 0, to: op.graph.ops.length } };
}
