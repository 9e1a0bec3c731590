import type { DType } from '@airllm/loader';
import { GraphError } from '../errors';
import type { ComputeDType, WeightBytes } from '../executor';
import type { Graph, WeightSpec } from '../graph/graph';
import type { ValueId, WeightId } from '../graph/ops';
import type { PassRows } from '../rows';
import type { LayerState } from '../state/layer-state';
import { FLOAT_DTYPES, WeightMatrix } from './weights';

/** What the ops of one graph work on during one call: a block's graph, or the sub-graph of one expert. */
export interface Frame {
  readonly graph: Graph;
  /** Rows that are computed: those of the pass, or those that chose the expert. */
  readonly count: number;
  /** The pass's rows; ops that need positions run only in a block's own graph. */
  readonly rows: PassRows;
  readonly states: readonly (readonly LayerState[])[];
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

/** A weight of the call; `rows` where only some of them were given (a slice). */
export function matrixOf(frame: Frame, op: string, id: WeightId, rows?: number): WeightMatrix {
  const spec = frame.graph.weights[id]!;
  const source = frame.weight(id);
  if (source === undefined) throw new GraphError(op, `weight ${id} [${spec.shape.join(', ')}] was not given`);
  return new WeightMatrix(source, spec.dtype, rows ?? spec.shape[0]!, spec.shape[1] ?? 1);
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
  for (const spec of graph.weights) checkDtype(spec);
  for (const op of graph.ops) if (op.op === 'expert') checkDtypes(op.graph);
}

function checkDtype(spec: WeightSpec): void {
  const dtype: DType = spec.dtype;
  if (!FLOAT_DTYPES.includes(dtype)) {
    throw new GraphError('compile', `weights of dtype ${dtype} are not supported, only ${FLOAT_DTYPES.join(', ')}`);
  }
}
