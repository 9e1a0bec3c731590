import { GraphError } from '../errors';
import type { Program, RunCall, RunResult } from '../executor';
import type { Graph } from '../graph/graph';
import { checkPart } from '../graph/part';
import { kvBlockBytes } from '../state/kv-layout';
import { KvState } from '../state/kv-state';
import type { Connection } from './connection';
import { DeviceState } from './device-state';
import { OnnxWeights } from './device-weights';
import { bufferId, Holds } from './memory-ref';
import type { StateRef, WeightsRef } from './protocol';
import { weightsOf } from './weights-of';

/** A graph that the worker lowers to ONNX models, part by part, as it is asked to run them. */
export class OnnxProgram implements Program {
  readonly graph: Graph;
  /** The worker's number of it. */
  readonly id: number;
  readonly #connection: Connection;

  constructor(graph: Graph, id: number, connection: Connection) {
    this.graph = graph;
    this.id = id;
    this.#connection = connection;
  }

  /** Values lie with the provider; a workspace only tells passes apart. */
  workspaceBytes(): number {
    return 0;
  }

  async run(call: RunCall): Promise<RunResult> {
    const { part, rows, maxRows } = call;
    checkPart(this.graph, part);
    if (rows.count > maxRows) throw new GraphError('part', `${rows.count} rows in buffers made for ${maxRows}`);
    const holds = new Holds();
    try {
      const carry = holds.carry(this.#carried(call));
      this.#connection.watch(call.workspace, ...call.carry.values());
      const routes = await this.#connection.ask<Int32Array | undefined>({
        do: 'run',
        program: this.id,
        part,
        rows: this.#connection.rows(rows),
        weights: this.#weights(call, holds),
        states: call.states.map((sequences, s) => sequences.map((state) => this.#state(s, state))),
        carry,
        workspace: bufferId(call.workspace),
        maxRows,
      });
      return routes === undefined ? {} : { routes };
    } finally {
      holds.release();
    }
  }

  /** The buffers of the graph's own names, checked for size. */
  #carried({ carry, rows, part }: RunCall): RunCall['carry'] {
    const own = new Map<string, NonNullable<ReturnType<RunCall['carry']['get']>>>();
    for (const [name, id] of [...this.graph.inputs, ...this.graph.outputs]) {
      const buffer = carry.get(name);
      const { width } = this.graph.values[id]!;
      if (buffer === undefined) {
        // Experts work on what the block left on the device.
        if (part.expert !== undefined) continue;
        throw new GraphError('carry', `no buffer was given for ${name} of width ${width}`);
      }
      if (buffer.byteLength < 4 * rows.count * width) {
        throw new GraphError('carry', `${name} has ${buffer.byteLength} bytes for ${rows.count} rows of ${width}`);
      }
      own.set(name, buffer);
    }
    return own;
  }

  #weights({ weights, part, rows }: RunCall, holds: Holds): WeightsRef {
    if ('deviceBytes' in weights) {
      if (OnnxWeights.isInstance(weights) && weights.connection === this.#connection) return { uploaded: weights.id };
      throw new GraphError('weights', 'they were uploaded to the device of another executor');
    }
    const used = weightsOf(this.graph, part);
    if (weights.length !== used.graph.weights.length) {
      throw new GraphError('weights', `${weights.length} given, the graph has ${used.graph.weights.length}`);
    }
    return holds.weights(used.graph, used.part, weights, rows.count);
  }

  #state(index: number, state: RunCall['states'][number][number]): StateRef {
    if (state instanceof DeviceState && state.connection === this.#connection) return { state: state.id };
    if (!KvState.isInstance(state)) throw new GraphError('state', 'it lies on the device of another executor');
    const length = kvBlockBytes(this.graph.states[index]!);
    const blocks = Array.from(state.addresses(), (address) => (address === 0n ? undefined : { address, length }));
    return { blocks };
  }
}
