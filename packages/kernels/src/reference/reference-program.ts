import type { HostBuffer } from '@airllm/loader';
import { GraphError } from '../errors';
import type { ComputeDType, Program, RunCall, RunResult } from '../executor';
import type { Graph } from '../graph/graph';
import type { ExpertOp, ValueId } from '../graph/ops';
import { checkPart, completesPart } from '../graph/part';
import { layoutWorkspace, type WorkspaceLayout } from '../graph/workspace';
import { type HostCall, hostCall } from '../host-call';
import { remember } from '../remember';
import { gatherRows, rowsOfExpert, scatterRows } from './experts';
import { asInt32, type Frame, PartialSums, widthOf } from './frame';
import { runOps } from './interpreter';

export class ReferenceProgram implements Program {
  readonly graph: Graph;
  readonly #computeDtype: ComputeDType;
  readonly #layout: WorkspaceLayout;
  readonly #carried: ReadonlyMap<ValueId, string>;
  readonly #partialSums = new PartialSums();

  constructor(graph: Graph, computeDtype: ComputeDType) {
    this.graph = graph;
    this.#computeDtype = computeDtype;
    this.#layout = layoutWorkspace(graph);
    this.#carried = new Map([...graph.inputs].map(([name, id]) => [id, name]));
  }

  workspaceBytes(maxRows: number): number {
    return 4 * maxRows * this.#layout.totalColumns;
  }

  async run(given: RunCall): Promise<RunResult> {
    const call = hostCall(given);
    // Lets the host's timers and the streamer's answers in between two parts.
    await new Promise((resolve) => setImmediate(resolve));
    const { part, rows, maxRows } = call;
    checkPart(this.graph, part);
    if (rows.count > maxRows) throw new GraphError('part', `${rows.count} rows in buffers made for ${maxRows}`);
    const frame = this.#blockFrame(call);
    runOps(frame, part, (op, index) => this.#runExpert(call, frame, op, index));
    if (part.to === this.graph.ops.length && completesPart(this.graph, part)) this.#carryOut(call, frame);
    const last = this.graph.ops[part.to - 1]!;
    return last.op === 'route' ? { routes: asInt32(frame.value(last.ids)).slice() } : {};
  }

  #blockFrame(call: HostCall): Frame {
    const { rows, states, weights } = call;
    const value = (id: ValueId) => {
      const name = this.#carried.get(id);
      const width = this.graph.values[id]!.width;
      if (name !== undefined) return carryOf(call, name, width);
      return this.#area(call, this.#layout.columns[id]!, rows.count * width);
    };
    return {
      graph: this.graph,
      count: rows.count,
      rows,
      states,
      value: remembered(value),
      weight: (id) => weights[id],
      partialSums: this.#partialSums,
      computeDtype: this.#computeDtype,
    };
  }

  /** Runs one expert, or a part of it, on the rows that chose it. */
  #runExpert(call: HostCall, block: Frame, op: ExpertOp, index: number): void {
    const { id, part = { from: 0, to: op.graph.ops.length } } = call.part.expert!;
    const places = rowsOfExpert(block, op, id);
    if (places.length === 0) return;
    const area = this.#layout.experts.get(index)!;
    const value = (v: ValueId) => this.#area(call, area.columns[v]!, places.length * op.graph.values[v]!.width);
    const frame: Frame = { ...block, graph: op.graph, count: places.length, value: remembered(value) };
    if (part.from === 0) {
      const x = frame.value(op.graph.inputs.get('x')!);
      gatherRows(block.value(op.x), widthOf(block, op.x), places, op.topK, x);
    }
    runOps(frame, part, nested);
    if (part.to === op.graph.ops.length && completesPart(op.graph, part)) {
      const y = op.graph.outputs.get('y')!;
      scatterRows(frame.value(y), widthOf(frame, y), places, block.value(op.slots));
    }
  }

  #area(call: HostCall, column: number, length: number): Float32Array {
    return call.workspace.float32(4 * call.maxRows * column, length);
  }

  #carryOut(call: HostCall, frame: Frame): void {
    for (const [name, id] of this.graph.outputs) {
      const value = frame.value(id);
      const carry = carryOf(call, name, widthOf(frame, id));
      if (carry.byteOffset !== value.byteOffset || carry.buffer !== value.buffer) carry.set(value);
    }
  }
}

function carryOf(call: HostCall, name: string, width: number): Float32Array {
  const buffer: HostBuffer | undefined = call.carry.get(name);
  if (buffer === undefined) throw new GraphError('carry', `no buffer was given for ${name} of width ${width}`);
  return buffer.float32(0, call.rows.count * width);
}

/** Views cost a foreign call each, and an op asks for the same ones again and again. */
function remembered(make: (id: ValueId) => Float32Array): (id: ValueId) => Float32Array {
  const views = new Map<ValueId, Float32Array>();
  return (id) => remember(views, id, () => make(id));
}

function nested(): never {
  throw new GraphError('expert', 'an expert cannot hold experts');
}
