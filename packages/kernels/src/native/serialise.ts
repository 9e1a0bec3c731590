import type { DType } from '@airllm/loader';
import { GraphError } from '../errors';
import type { Graph, KvCacheDType, WeightLayout, WeightSpec } from '../graph/graph';
import type { ActivationName, ExpertOp, Op, OpName, ValueId } from '../graph/ops';
import type { WorkspaceLayout } from '../graph/workspace';
import { packedWeights, writePacked } from './serialise-packed';
import { NONE, Words } from './words';

// The format of native/program.h: 32-bit words. The lists below are its enums, in their order.

const MAGIC = 0x6d6c7261;
const OP_CODES: readonly OpName[] = [
  'embed',
  'rmsNorm',
  'layerNorm',
  'linear',
  'rope',
  'attention',
  'activation',
  'gated',
  'add',
  'mul',
  'scale',
  'softcap',
  'slice',
  'route',
  'expert',
  'combine',
];
const DTYPES: readonly DType[] = ['F32', 'F16', 'BF16'];
const LAYOUTS: readonly WeightLayout[] = ['rows', 'vector', 'out,in', 'in,out', 'whole'];
const KV_DTYPES: readonly KvCacheDType[] = ['float32', 'bfloat16', 'int8'];
const ACTIVATIONS: readonly ActivationName[] = [
  'silu',
  'gelu',
  'gelu_tanh',
  'gelu_quick',
  'relu',
  'relu2',
  'sigmoid',
  'tanh',
];

/** What an op's record holds beside its code; what `n` and `f` mean is said in program.h. */
interface OpRecord {
  readonly inputs?: readonly ValueId[];
  readonly outputs: readonly ValueId[];
  readonly weight?: number | undefined;
  readonly bias?: number | undefined;
  readonly n?: readonly number[];
  readonly f?: readonly number[];
}

/** Names of the carry buffers a graph reads or writes, in the order of their slots. */
export function carryNames(graph: Graph): string[] {
  return [...new Set([...graph.inputs.keys(), ...graph.outputs.keys()])];
}

/** A graph in the form that `airllm_program_create` reads. Throws {@link GraphError} for what native cannot run. */
export function serialiseGraph(graph: Graph, layout: WorkspaceLayout): Uint8Array {
  const words = new Words();
  const subs = graph.ops.flatMap((op, index) => (op.op === 'expert' ? [{ op, index }] : []));
  const slots = new Map(carryNames(graph).map((name, slot) => [name, slot]));
  const inputs = new Map([...graph.inputs].map(([name, id]) => [id, slots.get(name)!]));
  const outputs = [...graph.outputs].map(([name, id]) => [id, slots.get(name)!] as const);
  writeGraph(words, graph, { columns: layout.columns, inputs, outputs, subs: subs.length }, (op, index) => {
    if (op.op !== 'expert') return opRecord(op);
    const sub = subs.findIndex((other) => other.index === index);
    return expertRecord(op, sub, layout.experts.get(index)!.rowList);
  });
  for (const { op, index } of subs) writeExpert(words, op, layout.experts.get(index)!.columns);
  return words.bytes();
}

/** A sub-program has no carry: its one output names the values y and x. */
function writeExpert(words: Words, op: ExpertOp, columns: readonly number[]): void {
  const { graph } = op;
  const x = graph.inputs.get('x');
  const y = graph.outputs.get('y');
  if (x === undefined || y === undefined || graph.inputs.size !== 1 || graph.outputs.size !== 1) {
    throw new GraphError('expert', 'its graph must have the one input x and the one output y');
  }
  writeGraph(words, graph, { columns, inputs: new Map(), outputs: [[y, x]], subs: 0 }, (inner) => {
    if (inner.op === 'embed' || inner.op === 'rope' || inner.op === 'attention' || inner.op === 'expert') {
      throw new GraphError('expert', `its graph cannot hold ${inner.op}: it sees a choice of rows, not the pass`);
    }
    return opRecord(inner);
  });
}

interface Places {
  readonly columns: readonly number[];
  /** Carry slot by value. */
  readonly inputs: ReadonlyMap<ValueId, number>;
  readonly outputs: readonly (readonly [ValueId, number])[];
  readonly subs: number;
}

function writeGraph(words: Words, graph: Graph, places: Places, record: (op: Op, index: number) => OpRecord): void {
  const { values, weights, states, ropes, ops } = graph;
  const packed = packedWeights(graph);
  words.integers(MAGIC, values.length, weights.length, packed.ids.length, states.length, ropes.length);
  words.integers(places.outputs.length, ops.length, places.subs);
  values.forEach(({ width }, id) => {
    const slot = places.inputs.get(id);
    words.integers(width, slot === undefined ? places.columns[id]! : 0, slot ?? NONE);
  });
  weights.forEach((weight, id) => {
    words.integers(...(packed.records.get(id) ?? weightRecord(weight)));
  });
  for (const id of packed.ids) writePacked(words, weights[id]!.packed!);
  for (const state of states) {
    words.integers(state.kvHeads, state.keyDim, state.valueDim, KV_DTYPES.indexOf(state.dtype));
  }
  for (const rope of ropes) words.integers(rope.dim);
  for (const output of places.outputs) words.integers(...output);
  ops.forEach((op, index) => {
    const { inputs = [], outputs, weight, bias, n = [], f = [] } = record(op, index);
    words.integers(OP_CODES.indexOf(op.op), ...padded(inputs, 3, NONE), ...padded(outputs, 2, NONE));
    words.integers(weight ?? NONE, bias ?? NONE, ...padded(n, 4, 0));
    words.floats(...padded(f, 4, 0));
  });
}

function weightRecord({ dtype, shape, layout }: WeightSpec): number[] {
  const code = DTYPES.indexOf(dtype);
  if (code < 0)
    throw new GraphError('compile', `weights of dtype ${dtype} are not supported, only ${DTYPES.join(', ')}`);
  const [rows, columns] = layout === 'vector' ? [1, shape[0]!] : [shape[0]!, shape[1]!];
  return [code, LAYOUTS.indexOf(layout), rows, columns, NONE];
}

function opRecord(op: Exclude<Op, ExpertOp>): OpRecord {
  switch (op.op) {
    case 'embed':
      return { outputs: [op.out], weight: op.weight, f: [op.scale] };
    case 'rmsNorm':
      return { inputs: [op.x], outputs: [op.out], weight: op.weight, n: [op.groupWidth], f: [op.eps, op.weightOffset] };
    case 'layerNorm':
      return { inputs: [op.x], outputs: [op.out], weight: op.weight, bias: op.bias, n: [op.groupWidth], f: [op.eps] };
    case 'linear':
      return { inputs: [op.x], outputs: [op.out], weight: op.weight, bias: op.bias };
    case 'rope':
      return { inputs: [op.x], outputs: [op.out], n: [op.rope, op.headDim, op.pairing === 'interleaved' ? 1 : 0] };
    case 'attention':
      return {
        inputs: [op.q, op.k, op.v],
        outputs: [op.out],
        weight: op.sinks,
        n: [op.state, op.heads, op.window ?? 0],
        f: [op.scale, op.softcap ?? 0],
      };
    case 'activation':
      return { inputs: [op.x], outputs: [op.out], n: [ACTIVATIONS.indexOf(op.kind)] };
    case 'gated':
      return {
        inputs: [op.gate, op.up],
        outputs: [op.out],
        n: [ACTIVATIONS.indexOf(op.kind)],
        f: [op.limit ?? 0, op.shift ?? 0],
      };
    case 'add':
    case 'mul':
      return { inputs: [op.a, op.b], outputs: [op.out] };
    case 'scale':
      return { inputs: [op.x], outputs: [op.out], f: [op.by] };
    case 'softcap':
      return { inputs: [op.x], outputs: [op.out], f: [op.cap] };
    case 'slice':
      return { inputs: [op.x], outputs: [op.out], n: [op.from, op.step ?? 1] };
    case 'route':
      return {
        inputs: [op.logits],
        outputs: [op.ids, op.weights],
        n: [op.topK, op.score === 'sigmoid' ? 1 : 0, op.normalise ? 1 : 0],
        f: [op.scale],
      };
    case 'combine':
      return { inputs: [op.slots, op.weights], outputs: [op.out], n: [op.topK] };
  }
}

function expertRecord(op: ExpertOp, sub: number, rowList: number): OpRecord {
  return { inputs: [op.x, op.ids], outputs: [op.slots], n: [op.topK, op.expertCount, sub, rowList] };
}

function padded(list: readonly number[], length: number, fill: number): number[] {
  return Array.from({ length }, (_, i) => list[i] ?? fill);
}
