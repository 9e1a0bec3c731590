import { HostBuffer, tensorBytes } from '@airllm/loader';
import type { Device, DeviceWeights, Executor, Program, WeightBytes } from '../executor';
import type { Block, Graph, Part, StateSpec, WeightSpec } from '../graph/graph';
import { type ExpertOp, isSliced, opWeights } from '../graph/ops';
import type { PassRows } from '../rows';
import { BlockPool } from '../state/block-pool';
import { createState } from '../state/create-state';
import type { LayerState } from '../state/layer-state';
import { type Cut, partsOf } from './parts';
import type { TestWeights } from './weights';

export interface Pass {
  readonly rows: PassRows;
  /** Float32 `[count, width]` by input name. */
  readonly inputs: ReadonlyMap<string, Float32Array>;
  /** For graphs that embed: the row of the table of each pass row. */
  readonly ids: Int32Array;
}

export interface RunnerOptions {
  readonly cut: Cut;
  readonly maxRows: number;
  readonly sequences: number;
  /** Weights, states and values in the memory of the executor's device, for sequences of up to so many positions. */
  readonly onDevice?: OnDevice | undefined;
}

export interface OnDevice {
  readonly maxLength: number;
  /** Weights are uploaded once for all passes, those of routed experts excepted. */
  readonly stays?: boolean | undefined;
}

/** Runs passes through one block as the runtime does: gives each part its own weights only, experts as routed. */
export class BlockRunner {
  readonly #block: Block;
  readonly #weights: TestWeights;
  readonly #options: RunnerOptions;
  readonly #program: Program;
  readonly #pool = new BlockPool();
  readonly #states: LayerState[][];
  readonly #device: Device | undefined;
  /** By op and first row of the slice. */
  readonly #kept = new Map<string, DeviceWeights>();
  readonly #workspace: HostBuffer;
  readonly #carry = new Map<string, HostBuffer>();

  constructor(executor: Executor, block: Block, weights: TestWeights, options: RunnerOptions) {
    this.#block = block;
    this.#weights = weights;
    this.#options = options;
    this.#program = executor.compile(block.graph);
    const { graph } = block;
    const { maxRows, sequences } = options;
    this.#device = options.onDevice && executor.device;
    const makeState = (spec: StateSpec) =>
      this.#device?.createState(spec, options.onDevice!.maxLength) ?? createState(this.#pool, spec);
    this.#states = graph.states.map((spec) => Array.from({ length: sequences }, () => makeState(spec)));
    this.#workspace = HostBuffer.allocate(this.#program.workspaceBytes(maxRows));
    // Values must be written before they are read: old bytes shall not look like zeros.
    this.#workspace.bytes().fill(0xff);
    for (const [name, id] of [...graph.inputs, ...graph.outputs]) {
      const buffer = HostBuffer.allocate(4 * maxRows * graph.values[id]!.width);
      if (!this.#carry.has(name)) this.#carry.set(name, buffer);
    }
  }

  /** The block's outputs, float32 `[count, width]` by name. */
  async pass(pass: Pass): Promise<Map<string, Float32Array>> {
    const { graph } = this.#block;
    for (const [name, values] of pass.inputs) this.#carry.get(name)!.float32(0, values.length).set(values);
    this.#device?.receive(this.#carry);
    this.#reserve(pass.rows);
    let chosen: Int32Array = new Int32Array(0);
    for (const part of partsOf(graph, this.#options.cut)) {
      const op = graph.ops[part.from]!;
      if (op.op === 'expert') await this.#experts(pass, part, op, chosen);
      else chosen = (await this.#run(pass, part, this.#blockWeights(pass, part))) ?? chosen;
    }
    this.#release(pass.rows);
    await this.#device?.send(this.#carry, pass.rows.count);
    return new Map(
      [...graph.outputs].map(([name, id]) => {
        const values = this.#carry.get(name)!.float32(0, pass.rows.count * graph.values[id]!.width);
        return [name, values.slice()];
      }),
    );
  }

  dispose(): void {
    for (const weights of this.#kept.values()) weights.dispose();
    for (const state of this.#states.flat()) state.dispose();
    this.#pool.dispose();
    this.#workspace.dispose();
    for (const buffer of this.#carry.values()) buffer.dispose();
  }

  async #run(pass: Pass, part: Part, given: readonly (WeightBytes | undefined)[]): Promise<Int32Array | undefined> {
    const { rows } = pass;
    const weights = (await this.#upload(part, given)) ?? given;
    const call = { part, rows, weights, states: this.#states, carry: this.#carry };
    const running = this.#program.run({ ...call, workspace: this.#workspace, maxRows: this.#options.maxRows });
    // They may be given back as soon as the call has been made.
    if ('deviceBytes' in weights && !this.#stays(part)) weights.dispose();
    return (await running).routes;
  }

  /** Rows of an embedding are gathered in each pass, and so never uploaded. */
  async #upload(part: Part, weights: readonly (WeightBytes | undefined)[]): Promise<DeviceWeights | undefined> {
    const { graph } = this.#block;
    if (graph.ops.slice(part.from, part.to).some(({ op }) => op === 'embed')) return undefined;
    if (!this.#stays(part)) return this.#device?.upload(this.#program, part, weights);
    const key = `${part.from} ${part.slice?.from ?? 0}`;
    const kept = this.#kept.get(key) ?? (await this.#device?.upload(this.#program, part, weights, { stays: true }));
    if (kept !== undefined) this.#kept.set(key, kept);
    return kept;
  }

  #stays({ expert }: Part): boolean {
    return this.#options.onDevice?.stays === true && expert === undefined;
  }

  /** The chosen experts, highest first: the order of running must not matter. */
  async #experts(pass: Pass, part: Part, op: ExpertOp, chosen: Int32Array): Promise<void> {
    const { cut } = this.#options;
    for (const id of [...new Set(chosen)].sort((a, b) => b - a)) {
      const names = this.#block.experts.get(part.from)![id]!.map((tensor) => tensor.name);
      const all: Part = { from: 0, to: op.graph.ops.length };
      for (const inner of cut === 'whole' ? [undefined] : partsOf(op.graph, cut)) {
        const weights = this.#partWeights(op.graph, names, inner ?? all);
        await this.#run(pass, { ...part, expert: { id, ...(inner ? { part: inner } : {}) } }, weights);
      }
    }
  }

  #blockWeights(pass: Pass, part: Part): (WeightBytes | undefined)[] {
    const { graph } = this.#block;
    const names = this.#block.weights.map((tensor) => tensor.name);
    return this.#partWeights(graph, names, part).map((bytes, id) => {
      const spec = graph.weights[id]!;
      return bytes && spec.layout === 'rows' ? this.#weights.gather(names[id]!, rowBytes(spec), pass.ids) : bytes;
    });
  }

  /** What the part uses and nothing else; of a sliced matrix from its slice on. */
  #partWeights(graph: Graph, names: readonly string[], part: Part): (WeightBytes | undefined)[] {
    const used = new Map<number, number>();
    for (const op of graph.ops.slice(part.from, part.to)) {
      for (const id of opWeights(op, graph)) used.set(id, isSliced(graph.weights[id]!) ? (part.slice?.from ?? 0) : 0);
    }
    return names.map((name, id) => {
      const row = used.get(id);
      if (row === undefined) return undefined;
      const { buffer, offset } = this.#weights.bytes(name);
      return { buffer, offset: offset + row * rowBytes(graph.weights[id]!) };
    });
  }

  #reserve(rows: PassRows): void {
    for (const states of this.#states) {
      rows.sequence.forEach((sequence, r) => {
        states[sequence]!.reserve(rows.position[r]! + 1);
      });
    }
  }

  /** A window's old blocks go as soon as no row to come can see them. */
  #release(rows: PassRows): void {
    this.#states.forEach((states, s) => {
      const { window } = this.#block.graph.states[s]!;
      if (window === undefined) return;
      rows.sequence.forEach((sequence, r) => {
        states[sequence]!.release(rows.position[r]! + 2 - window);
      });
    });
  }
}

function rowBytes({ dtype, shape }: WeightSpec): number {
  return tensorBytes(dtype, shape) / (shape[0] ?? 1);
}
