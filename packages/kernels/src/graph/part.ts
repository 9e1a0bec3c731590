import { GraphError } from '../errors';
import type { Graph, Part } from './graph';
import type { ExpertOp, LinearOp } from './ops';

/** Throws {@link GraphError} where a part is not a piece that its graph can be run in. */
export function checkPart(graph: Graph, part: Part): void {
  const { from, to } = part;
  const ops = graph.ops.slice(from, to);
  if (!Number.isInteger(from) || !Number.isInteger(to) || from < 0 || to <= from || to > graph.ops.length) {
    throw new GraphError('part', `ops ${from} to ${to} of a graph of ${graph.ops.length}`);
  }
  if (ops.slice(0, -1).some((op) => op.op === 'route')) {
    throw new GraphError('part', 'it must end at its route op: the experts that were chosen come next');
  }
  const only = ops.length === 1 ? ops[0]! : undefined;
  if (part.slice !== undefined) {
    if (only?.op !== 'linear') throw new GraphError('part', 'only a part of exactly one linear can be sliced');
    checkSlice(graph, only, part.slice);
  }
  if (ops.some((op) => op.op === 'expert')) {
    if (only?.op !== 'expert') throw new GraphError('part', 'an expert op must be run alone, once per chosen expert');
    checkExpert(only, part);
  } else if (part.expert !== undefined) {
    throw new GraphError('part', `expert ${part.expert.id} is named, but op ${from} is ${ops[0]!.op}`);
  }
}

/** How many rows of the weight a sliced linear has: outputs for `out,in`, inputs for `in,out`. */
export function sliceExtent(graph: Graph, op: LinearOp): number {
  return graph.weights[op.weight]!.shape[0]!;
}

/** Whether running the part completes its last op: it is not sliced, or this is the last slice. */
export function completesPart(graph: Graph, part: Part): boolean {
  if (part.slice === undefined) return true;
  return part.slice.to === sliceExtent(graph, graph.ops[part.from] as LinearOp);
}

function checkSlice(graph: Graph, op: LinearOp, slice: { from: number; to: number }): void {
  const full = sliceExtent(graph, op);
  if (slice.from < 0 || slice.to <= slice.from || slice.to > full) {
    throw new GraphError('part', `slice ${slice.from} to ${slice.to} of a weight of ${full} rows`);
  }
}

function checkExpert(op: ExpertOp, part: Part): void {
  const { expert } = part;
  if (expert === undefined) throw new GraphError('part', 'an expert op needs the expert to run');
  if (!Number.isInteger(expert.id) || expert.id < 0 || expert.id >= op.expertCount) {
    throw new GraphError('part', `expert ${expert.id} of ${op.expertCount}`);
  }
  if (expert.part !== undefined) checkPart(op.graph, expert.part);
}
