import type { Graph, Part } from '../graph/graph';
import { sliceExtent } from '../graph/part';

/** How a block is cut: as little as routing allows, at every op, or also every linear into slices of its weight. */
export type Cut = 'whole' | 'ops' | 'slices';

/** The parts of a graph; expert ops are left without an expert, which the one who runs them names. */
export function partsOf(graph: Graph, cut: Cut): Part[] {
  return cut === 'whole'
    ? largest(graph)
    : graph.ops.flatMap((_, index) => (cut === 'ops' ? [one(index)] : slices(graph, index)));
}

function one(index: number): Part {
  return { from: index, to: index + 1 };
}

function largest(graph: Graph): Part[] {
  const parts: Part[] = [];
  let from = 0;
  graph.ops.forEach((op, index) => {
    const next = graph.ops[index + 1];
    if (op.op !== 'route' && op.op !== 'expert' && next !== undefined && next.op !== 'expert') return;
    parts.push({ from, to: index + 1 });
    from = index + 1;
  });
  return parts;
}

/** Uneven slices: one row, a few, the rest. */
function slices(graph: Graph, index: number): Part[] {
  const op = graph.ops[index]!;
  if (op.op !== 'linear') return [one(index)];
  const rows = sliceExtent(graph, op);
  const borders = [...new Set([0, 1, Math.ceil(rows / 3), rows])].filter((border) => border <= rows);
  return borders.slice(1).map((to, i) => ({ ...one(index), slice: { from: borders[i]!, to } }));
}
