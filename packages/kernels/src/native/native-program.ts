import type { Lease } from '@airllm/loader';
import type { Program, RunCall, RunResult } from '../executor';
import type { Graph } from '../graph/graph';
import { layoutWorkspace } from '../graph/workspace';
import { hostCall } from '../host-call';
import type { RopeSpec } from '../rope/spec';
import type { PassRows } from '../rows';
import type { KvState } from '../state/kv-state';
import type { CallFrame, NativePass, NativeSteps } from './call-frame';
import { checkRows, leaseAll, type PlacedCall, type PlacedPart, type Placing, placePart } from './placed-part';
import { carryNames, serialiseGraph } from './serialise';

/** What a program needs of its executor. */
export interface NativeHost {
  /** Hands a serialised graph to the library and returns its handle. */
  create(bytes: Uint8Array): bigint;
  /** Address of a table of angles for the rows. */
  rope(spec: RopeSpec, rows: PassRows): bigint;
  /**
   * Runs steps when it is their turn and `free` has settled; `write` then puts them into the frame that it is given, or
   * one of its own.
   */
  run(write: (frame: CallFrame) => NativeSteps, free?: Promise<unknown>): Promise<void>;
}

/** A graph in the native interpreter's form. */
export class NativeProgram implements Program {
  readonly graph: Graph;
  readonly #host: NativeHost;
  readonly #placing: Placing;

  constructor(graph: Graph, host: NativeHost) {
    this.graph = graph;
    this.#host = host;
    const layout = layoutWorkspace(graph);
    const handle = host.create(serialiseGraph(graph, layout));
    this.#placing = { graph, layout, carryNames: carryNames(graph), handle };
  }

  workspaceBytes(maxRows: number): number {
    return 4 * maxRows * this.#placing.layout.totalColumns;
  }

  async run(given: RunCall): Promise<RunResult> {
    const call = hostCall(given);
    checkRows(this.graph, call, call.rows.count);
    const { native, buffers } = this.place(call);
    const leases: Lease[] = [];
    try {
      await this.#host.run((frame) => {
        leases.push(...leaseAll(buffers));
        frame.place([native]);
        return frame.write([this.pass(call.rows, call.states)]);
      });
    } finally {
      for (const lease of leases) lease.release();
    }
    return this.#routes(call);
  }

  /** What of a call stays the same from pass to pass. */
  place(call: PlacedCall): PlacedPart {
    return placePart(this.#placing, call);
  }

  /** What a pass adds. */
  pass(rows: PassRows, states: readonly (readonly KvState[])[]): NativePass {
    return {
      rows,
      ropes: this.graph.ropes.map((spec) => this.#host.rope(spec, rows)),
      states: states.map((sequences) => sequences.map((state) => state.addresses())),
    };
  }

  #routes(call: RunCall): RunResult {
    const last = this.graph.ops[call.part.to - 1]!;
    if (last.op !== 'route') return {};
    const at = 4 * call.maxRows * this.#placing.layout.columns[last.ids]!;
    const ids = call.workspace.float32(at, call.rows.count * last.topK);
    return { routes: new Int32Array(ids.buffer, ids.byteOffset, ids.length).slice() };
  }
}
