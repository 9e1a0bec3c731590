import type { Graph } from './graph';
import { opInputs, opOutputs, type ValueId } from './ops';

/** Columns every value's offset is rounded up to: 16 floats, so that a value starts at a multiple of 64 bytes. */
const COLUMN_ALIGNMENT = 16;

/**
 * Where values lie in a workspace. Offsets are in columns of 4 bytes, so that one layout serves every capacity: value v
 * of a workspace made for `maxRows` rows starts at byte `4 · maxRows · column(v)`, row r of it `4 · r · width` further.
 */
export interface WorkspaceLayout {
  /** By value id; -1 for a graph input, which is not here but in the carry buffer of its name. */
  readonly columns: readonly number[];
  /** Width of the whole workspace, areas of experts included. */
  readonly totalColumns: number;
  /** By op index of each `expert` op: the area its sub-graph works in. */
  readonly experts: ReadonlyMap<number, ExpertArea>;
}

/** What the sub-graph of an `expert` op works in; columns count from the start of the workspace. */
export interface ExpertArea {
  /**
   * One int32 per gathered row, in ascending order: `row · topK + slot`, the place in `slots` its output goes to.
   * (A row chooses an expert at most once, so a capacity of `maxRows` is enough.)
   */
  readonly rowList: number;
  /** By value id of the sub-graph; its input `x` is here too: the gathered rows. */
  readonly columns: readonly number[];
}

/**
 * Lays out the values of a graph by their lifetime over the op order, so that a value takes the place of one that is no
 * longer needed. Values alive at the same op never overlap, an op's inputs and outputs included; outputs of the graph
 * live to the end. The areas of expert ops come after the graph's own values and share their place, since only one of
 * them runs at a time.
 */
export function layoutWorkspace(graph: Graph): WorkspaceLayout {
  const inputs = new Set(graph.inputs.values());
  const own = place(graph, (id) => !inputs.has(id));
  const experts = new Map<number, ExpertArea>();
  let totalColumns = own.total;
  graph.ops.forEach((op, index) => {
    if (op.op !== 'expert') return;
    const rowList = own.total;
    const first = rowList + COLUMN_ALIGNMENT;
    const area = place(op.graph, () => true);
    experts.set(index, { rowList, columns: area.columns.map((column) => column + first) });
    totalColumns = Math.max(totalColumns, first + area.total);
  });
  return { columns: own.columns, totalColumns, experts };
}

/** First and last op index at which a value must keep its place. */
export interface Lifetime {
  readonly from: number;
  readonly to: number;
}

/** Lifetimes of a graph's values over its op order; inputs live from the start, outputs to the end. */
export function valueLifetimes(graph: Graph): Lifetime[] {
  const lifetimes = graph.values.map(() => ({ from: 0, to: 0 }));
  graph.ops.forEach((op, index) => {
    for (const id of opOutputs(op)) lifetimes[id] = { from: index, to: index };
    for (const id of opInputs(op)) lifetimes[id]!.to = index;
  });
  for (const id of graph.outputs.values()) lifetimes[id]!.to = graph.ops.length;
  return lifetimes;
}

interface Placed extends Lifetime {
  readonly column: number;
  readonly width: number;
}

/** First fit in order of birth: each value goes to the lowest gap between the values alive with it. */
function place(graph: Graph, here: (id: ValueId) => boolean): { columns: number[]; total: number } {
  const columns = graph.values.map(() => -1);
  const lifetimes = valueLifetimes(graph);
  const order = graph.values.map((_, id) => id).filter(here);
  order.sort((a, b) => lifetimes[a]!.from - lifetimes[b]!.from || a - b);
  let alive: Placed[] = [];
  let total = 0;
  for (const id of order) {
    const { from, to } = lifetimes[id]!;
    const width = Math.ceil(graph.values[id]!.width / COLUMN_ALIGNMENT) * COLUMN_ALIGNMENT;
    alive = alive.filter((other) => other.to >= from);
    let column = 0;
    for (const other of alive) {
      if (column + width <= other.column) break;
      column = Math.max(column, other.column + other.width);
    }
    columns[id] = column;
    total = Math.max(total, column + width);
    alive.push({ from, to, column, width });
    alive.sort((a, b) => a.column - b.column);
  }
  return { columns, total };
}
