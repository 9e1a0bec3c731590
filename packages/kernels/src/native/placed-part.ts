import type { HostBuffer, Lease } from '@airllm/loader';
import { GraphError } from '../errors';
import type { WeightBytes } from '../executor';
import type { Graph, Part } from '../graph/graph';
import { checkPart } from '../graph/part';
import type { WorkspaceLayout } from '../graph/workspace';
import type { HostCall } from '../host-call';
import type { NativePart } from './call-frame';

/** What of a call stays the same from pass to pass. */
export type PlacedCall = Pick<HostCall, 'part' | 'weights' | 'carry' | 'workspace' | 'maxRows'>;

/** A call's part with addresses instead of buffers, and the buffers that must be held while it runs. */
export interface PlacedPart {
  readonly native: NativePart;
  readonly buffers: ReadonlySet<HostBuffer>;
}

/** Where a graph's values lie, and its program in the library. */
export interface Placing {
  readonly graph: Graph;
  readonly layout: WorkspaceLayout;
  readonly carryNames: readonly string[];
  readonly handle: bigint;
}

/** Throws {@link GraphError} where a part or its buffers do not fit the graph. */
export function placePart({ graph, layout, carryNames, handle }: Placing, call: PlacedCall): PlacedPart {
  checkPart(graph, call.part);
  const { part, maxRows, workspace, weights } = call;
  const needed = 4 * maxRows * layout.totalColumns;
  if (workspace.byteLength < needed) {
    throw new GraphError('workspace', `${workspace.byteLength} bytes given, ${needed} needed for ${maxRows} rows`);
  }
  const used = part.expert === undefined ? graph : subGraph(graph, part);
  if (weights.length !== used.weights.length) {
    throw new GraphError('weights', `${weights.length} given, the graph has ${used.weights.length}`);
  }
  const buffers = new Set<HostBuffer>();
  const address = (buffer: HostBuffer | undefined) => {
    if (buffer === undefined) return 0n;
    if (!buffer.native) throw new GraphError('buffer', `${buffer.label} is not native memory; native cannot use it`);
    buffers.add(buffer);
    return buffer.address;
  };
  const weightAddress = (weight: WeightBytes | undefined) =>
    weight === undefined ? 0n : address(weight.buffer) + BigInt(weight.offset);
  const native = {
    program: handle,
    part: completePart(graph, part),
    maxRows,
    weights: Array.from(weights, weightAddress),
    carry: carryNames.map((name) => address(call.carry.get(name))),
    workspace: address(workspace),
  };
  return { native, buffers };
}

/** Throws {@link GraphError} where there are more rows than the buffers hold. */
export function checkRows(graph: Graph, { part, carry, maxRows }: PlacedCall, rows: number): void {
  if (rows > maxRows) throw new GraphError('part', `${rows} rows in buffers made for ${maxRows}`);
  for (const [name, id] of [...graph.inputs, ...graph.outputs]) {
    const buffer = carry.get(name);
    const width = graph.values[id]!.width;
    if (buffer === undefined) {
      // Experts work in the workspace alone.
      if (part.expert !== undefined) continue;
      throw new GraphError('carry', `no buffer was given for ${name} of width ${width}`);
    }
    if (buffer.byteLength < 4 * rows * width) {
      throw new GraphError('carry', `${name} has ${buffer.byteLength} bytes for ${rows} rows of width ${width}`);
    }
  }
}

/** Keeps buffers from being freed until all leases are released. */
export function leaseAll(buffers: Iterable<HostBuffer>): Lease[] {
  const leases: Lease[] = [];
  try {
    for (const buffer of buffers) leases.push(buffer.lease());
    return leases;
  } catch (error) {
    for (const lease of leases) lease.release();
    throw error;
  }
}

function subGraph(graph: Graph, part: Part): Graph {
  const op = graph.ops[part.from]!;
  return op.op === 'expert' ? op.graph : graph;
}

/** An expert part without a part of its sub-graph runs all of it. */
function completePart(graph: Graph, part: Part): Part {
  if (part.expert === undefined || part.expert.part !== undefined) return part;
  return { ...part, expert: { id: part.expert.id, part: { from: 0, to: subGraph(graph, part).ops.length } } };
}
