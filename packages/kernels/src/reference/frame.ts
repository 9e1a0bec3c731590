import { type DType, tensorBytes } from '@airllm/loader';
import { GraphError } from '../errors';
import type { ComputeDType, WeightBytes } from '../executor';
import type { Graph, PackedWeightSpec, WeightSpec } from '../graph/graph';
import type { ValueId, WeightId } from '../graph/ops';
import { PackedDecoder } from '../packed/decode';
import type { ComponentName } from '../packed/format';
import type { PassRows } from '../rows';
import type { KvState } from '../state/kv-state';
import { FLOAT_DTYPES, WeightMatrix } from './weights';

/** What the ops of one graph work on during one call: a block's graph, or the sub-graph of one expert. */
export interface Frame {
  readonly graph: Graph;
  /** Rows that are computed: those of the pass, or those that chose the expert. */
  readonly count: number;
  /** The pass's rows; ops that need positions run only in a block's own graph. */
  readonly rows: PassRows;
  readonly states: readonly (readonly KvState[])[];
  /** Float32 `[count, width]`, in place. */
  value(id: ValueId): Float32Array;
  /** Bytes as given in the call. */
  weight(id: WeightId): WeightBytes | undefined;
  /** Sums of an `in,out` linear that is run in slices, kept between them in float64. */
  readonly partialSums: PartialSums;
  readonly computeDtype: ComputeDType;
}

export class PartialSums {
  #sums = new Float64Array(0);

  /** Zeros at the first slice, at the others what the one before left. */
  take(length: number, first: boolean): Float64Array {
    if (first) this.#sums = new Float64Array(length);
    if (this.#sums.length !== length)
      throw new GraphError('linear', 'slices of in,out must be run in order, from row 0');
    return this.#sums;
  }

  drop(): void {
    this.#sums = new Float64Array(0);
  }
}

/** Width of a value. */
export function widthOf(frame: Frame, id: ValueId): number {
  return frame.graph.values[id]!.width;
}

/** The same memory as int32, for a value of that type. */
export function asInt32(value: Float32Array): Int32Array {
  return new Int32Array(value.buffer, value.byteOffset, value.length);
}

/** Rows of a matrix in float32, each valid until the next is asked for; row 0 is the first that was given. */
export interface Matrix {
  row(r: number): Float32Array;
}

/** A weight of the call; `slice` where only some rows of it were given. */
export function matrixOf(frame: Frame, op: string, id: WeightId, slice?: { from: number; count: number }): Matrix {
  const spec = frame.graph.weights[id]!;
  if (spec.packed !== undefined) return packedMatrix(frame, op, id, spec.packed, slice);
  return new WeightMatrix(givenWeight(frame, op, id), spec.dtype, slice?.count ?? spec.shape[0]!, spec.shape[1] ?? 1);
}

function givenWeight(frame: Frame, op: string, id: WeightId): WeightBytes {
  const source = frame.weight(id);
  if (source !== undefined) return source;
  throw new GraphError(op, `weight ${id} [${frame.graph.weights[id]!.shape.join(', ')}] was not given`);
}

function packedMatrix(
  frame: Frame,
  op: string,
  id: WeightId,
  packed: PackedWeightSpec,
  slice: { from: number; count: number } | undefined,
): Matrix {
  const bytes: Partial<Record<ComponentName, Uint8Array>> = {};
  const rowwise = new Set<ComponentName>();
  const take = (name: ComponentName, weight: WeightId) => {
    const { dtype, shape, layout } = frame.graph.weights[weight]!;
    const byRow = layout === 'out,in' || layout === 'rows';
    if (byRow) rowwise.add(name);
    const { buffer, offset } = givenWeight(frame, op, weight);
    const whole = tensorBytes(dtype, shape);
    bytes[name] = buffer.bytes(offset, byRow && slice ? (whole / shape[0]!) * slice.count : whole);
  };
  take('codes', id);
  for (const [name, weight] of Object.entries(packed.components)) take(name as ComponentName, weight);
  const { format, columns } = packed;
  const firstRow = slice?.from ?? 0;
  const decoder = new PackedDecoder({ format, columns, firstRow, bytes, rowwise });
  const out = new Float32Array(columns);
  return {
    row(r) {
      decoder.row(firstRow + r, out);
      return out;
    },
  };
}

/** A one-dimensional weight as float32, or undefined where the op has none. */
export function vectorOf(frame: Frame, op: string, id: WeightId | undefined): Float32Array | undefined {
  if (id === undefined) return undefined;
  const spec = frame.graph.weights[id]!;
  const source = frame.weight(id);
  if (source === undefined) throw new GraphError(op, `weight ${id} [${spec.shape.join(', ')}] was not given`);
  return new WeightMatrix(source, spec.dtype, 1, spec.shape[0]!).row(0);
}

/** Throws for weights this executor cannot decode, those of experts included. */
export function checkDtypes(graph: Graph): void {
  const parts = new Set(graph.weights.flatMap(({ packed }) => Object.values(packed?.components ?? {})));
  graph.weights.forEach((spec, id) => {
    // What a packed matrix is made of was checked when it was recorded.
    if (spec.packed === undefined && !parts.has(id)) checkDtype(spec);
  });
  for (const op of graph.ops) if (op.op === 'expert') checkDtypes(op.graph);
}

function checkDtype(spec: WeightSpec): void {
  const dtype: DType = spec.dtype;
  if (!FLOAT_DTYPES.includes(dtype)) {
    throw new GraphError('compile', `weights of dtype ${dtype} are not supported, only ${FLOAT_DTYPES.join(', ')}`);
  }
}
