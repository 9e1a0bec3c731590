import type { Graph, Part } from '../graph/graph';
import { type Op, opInputs, opOutputs } from '../graph/ops';

/** Rows that a session with weights of its own computes at a time: its provider keeps memory for that many for good. */
export const PINNED_ROWS = 64;

/** What a session takes of a device beside weights and values: handles and workspaces of libraries. Assumed, not measured. */
const SESSION_BYTES = 8 * 1024 * 1024;

/** Ops that are not put into a session with others. */
const ALONE: ReadonlySet<string> = new Set(['attention', 'route', 'expert']);

/** Whether an op looks at nothing but its rows, so that it can share a session with others. */
export function isRowwise({ op }: Op): boolean {
  return !ALONE.has(op);
}

/** Runs of ops of a part that are one session each, as op ranges. */
export function sessionRanges({ ops }: Pick<Graph, 'ops'>, { from, to }: Part): { from: number; to: number }[] {
  const ranges: { from: number; to: number }[] = [];
  for (let at = from; at < to; at++) {
    if (!isRowwise(ops[at]!)) continue;
    const last = ranges.at(-1);
    if (last?.to === at) last.to = at + 1;
    else ranges.push({ from: at, to: at + 1 });
  }
  return ranges;
}

/** Bytes of a device that the sessions of a part take beside its weights. */
export function sessionOverhead(graph: Graph, part: Part): number {
  return sessionRanges(graph, part).reduce((sum, { from, to }) => {
    const values = new Set(graph.ops.slice(from, to).flatMap((op) => [...opInputs(op), ...opOutputs(op)]));
    const columns = [...values].reduce((all, id) => all + graph.values[id]!.width, 0);
    return sum + SESSION_BYTES + 4 * PINNED_ROWS * columns;
  }, 0);
}
