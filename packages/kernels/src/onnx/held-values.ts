import type { Graph, Part } from '../graph/graph';
import { type LinearOp, opOutputs } from '../graph/ops';
import { valueLifetimes } from '../graph/workspace';
import { isRowwise } from './pinned-size';

/** How many buffers there are of so many columns. */
export type Columns = ReadonlyMap<number, number>;

/** What is run at once: a run of ops that share a session, or one that has sessions of its own. */
export interface Step {
  readonly from: number;
  readonly to: number;
  readonly slice?: Part['slice'];
}

/** The steps a part is run in. */
export function stepsOf({ ops }: Graph, { from, to, slice }: Part): Step[] {
  if (slice !== undefined) return [{ from, to, slice }];
  const steps: { from: number; to: number }[] = [];
  for (let at = from; at < to; at++) {
    const last = steps.at(-1);
    const joins = last !== undefined && isRowwise(ops[at]!) && isRowwise(ops[last.from]!);
    if (joins) last.to = at + 1;
    else steps.push({ from: at, to: at + 1 });
  }
  return steps;
}

/**
 * The most buffers of each size that hold values of a graph between its steps, when it is run in `parts`: buffers are
 * handed on to values of the same size, never given back.
 */
export function heldColumns(graph: Graph, parts: readonly Part[]): Columns {
  const lifetimes = valueLifetimes(graph);
  const inputs = new Set(graph.inputs.values());
  const most = new Map<number, number>();
  for (const part of parts) {
    for (const step of stepsOf(graph, part)) {
      const now = new Map<number, number>();
      lifetimes.forEach(({ from, to }, id) => {
        const kept = from < step.from && to >= step.from;
        const made = from >= step.from && from < step.to && to >= step.to;
        if (!inputs.has(id) && (kept || made)) add(now, graph.values[id]!.width);
      });
      for (const columns of besides(graph, step, parts)) add(now, columns);
      for (const [columns, count] of now) most.set(columns, Math.max(count, most.get(columns) ?? 0));
    }
  }
  return most;
}

/** Columns of what a step holds beside the graph's values: slices of a linear so far, values of the expert that runs. */
function besides(graph: Graph, { from, slice }: Step, parts: readonly Part[]): number[] {
  const op = graph.ops[from]!;
  if (op.op === 'expert') return op.graph.values.map(({ width }) => width);
  if (slice === undefined) return [];
  const { weight, out } = op as LinearOp;
  // Sums so far, and those with one slice more; or the columns that each slice makes.
  if (graph.weights[weight]!.layout === 'in,out') return [1, 2].map(() => graph.values[out]!.width);
  return parts.flatMap((part) =>
    part.from === from && part.slice !== undefined ? [part.slice.to - part.slice.from] : [],
  );
}

/** Columns of all values that a step makes, those that nobody needs after it too. */
export function madeColumns({ ops, values }: Graph, { from, to }: Step): number {
  const made = ops.slice(from, to).flatMap((op) => (op.op === 'expert' ? [] : opOutputs(op)));
  return made.reduce((sum, id) => sum + values[id]!.width, 0);
}

function add(counts: Map<number, number>, columns: number): void {
  counts.set(columns, (counts.get(columns) ?? 0) + 1);
}
