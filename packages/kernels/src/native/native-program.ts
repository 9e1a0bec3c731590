import type { HostBuffer, Lease } from '@airllm/loader';
import { GraphError } from '../errors';
import type { Program, RunCall, RunResult, WeightBytes } from '../executor';
import type { Graph, Part } from '../graph/graph';
import { checkPart } from '../graph/part';
import { layoutWorkspace, type WorkspaceLayout } from '../graph/workspace';
import { type HostCall, hostCall } from '../host-call';
import type { RopeSpec } from '../rope/spec';
import type { PassRows } from '../rows';
import type { NativeCall } from './call-frame';
import { carryNames, serialiseGraph } from './serialise';

/** What a program needs of its executor. */
export interface NativeHost {
  /** Hands a serialised graph to the library and returns its handle. */
  create(bytes: Uint8Array): bigint;
  /** Address of a table of angles for the rows. */
  rope(spec: RopeSpec, rows: PassRows): bigint;
  /** Runs a call when it is its turn; `prepare` makes it then. */
  run(handle: bigint, prepare: () => NativeCall): Promise<void>;
}

/** A graph in the native interpreter's form. */
export class NativeProgram implements Program {
  readonly graph: Graph;
  readonly #host: NativeHost;
  readonly #layout: WorkspaceLayout;
  readonly #carryNames: readonly string[];
  readonly #handle: bigint;

  constructor(graph: Graph, host: NativeHost) {
    this.graph = graph;
    this.#host = host;
    this.#layout = layoutWorkspace(graph);
    this.#carryNames = carryNames(graph);
    this.#handle = host.create(serialiseGraph(graph, this.#layout));
  }

  workspaceBytes(maxRows: number): number {
    return 4 * maxRows * this.#layout.totalColumns;
  }

  async run(given: RunCall): Promise<RunResult> {
    const call = hostCall(given);
    checkPart(this.graph, call.part);
    this.#checkSizes(call);
    const leases: Lease[] = [];
    try {
      await this.#host.run(this.#handle, () => this.#prepare(call, leases));
    } finally {
      for (const lease of leases) lease.release();
    }
    return this.#routes(call);
  }

  /** Turns buffers into addresses and holds them until the call has ended. */
  #prepare(call: HostCall, leases: Lease[]): NativeCall {
    let held: HostBuffer | undefined;
    const hold = (buffer: HostBuffer | undefined) => {
      if (buffer === undefined) return 0n;
      // Most weights lie in one buffer.
      if (buffer !== held) {
        if (!buffer.native)
          throw new GraphError('buffer', `${buffer.label} is not native memory; native cannot use it`);
        leases.push(buffer.lease());
        held = buffer;
      }
      return buffer.address;
    };
    const weightAddress = (weight: WeightBytes | undefined) =>
      weight === undefined ? 0n : hold(weight.buffer) + BigInt(weight.offset);
    return {
      part: completePart(this.graph, call.part),
      rows: call.rows,
      maxRows: call.maxRows,
      weights: Array.from(call.weights, weightAddress),
      carry: this.#carryNames.map((name) => hold(call.carry.get(name))),
      ropes: this.graph.ropes.map((spec) => this.#host.rope(spec, call.rows)),
      states: call.states.map((sequences) => sequences.map((state) => state.addresses())),
      workspace: hold(call.workspace),
    };
  }

  #checkSizes({ rows, maxRows, workspace, carry, weights, part }: HostCall): void {
    if (rows.count > maxRows) throw new GraphError('part', `${rows.count} rows in buffers made for ${maxRows}`);
    const needed = this.workspaceBytes(maxRows);
    if (workspace.byteLength < needed) {
      throw new GraphError('workspace', `${workspace.byteLength} bytes given, ${needed} needed for ${maxRows} rows`);
    }
    for (const [name, id] of [...this.graph.inputs, ...this.graph.outputs]) {
      const buffer = carry.get(name);
      const width = this.graph.values[id]!.width;
      if (buffer === undefined) {
        // Experts work in the workspace alone.
        if (part.expert !== undefined) continue;
        throw new GraphError('carry', `no buffer was given for ${name} of width ${width}`);
      }
      if (buffer.byteLength < 4 * rows.count * width) {
        throw new GraphError(
          'carry',
          `${name} has ${buffer.byteLength} bytes for ${rows.count} rows of width ${width}`,
        );
      }
    }
    const graph = part.expert === undefined ? this.graph : subGraph(this.graph, part);
    if (weights.length !== graph.weights.length) {
      throw new GraphError('weights', `${weights.length} given, the graph has ${graph.weights.length}`);
    }
  }

  #routes(call: RunCall): RunResult {
    const last = this.graph.ops[call.part.to - 1]!;
    if (last.op !== 'route') return {};
    const at = 4 * call.maxRows * this.#layout.columns[last.ids]!;
    const ids = call.workspace.float32(at, call.rows.count * last.topK);
    return { routes: new Int32Array(ids.buffer, ids.byteOffset, ids.length).slice() };
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
