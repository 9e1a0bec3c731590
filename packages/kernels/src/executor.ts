import type { HostBuffer } from '@airllm/loader';
import type { Graph, Part } from './graph/graph';
import type { PassRows } from './rows';
import type { LayerState } from './state/layer-state';

export type ExecutorName = 'native' | 'reference';

/**
 * What bf16 and quantised matrices are multiplied with. `float32`: activations as they are, quantised weights as their
 * format gives them. `bfloat16`: both rounded to bf16 (to nearest even), products added in float32. All else is float32
 * in both: values between ops, matrices stored in float32 and float16, attention.
 */
export type ComputeDType = 'float32' | 'bfloat16';

/** What runs the ops, for people and for the record. */
export interface ExecutorInfo {
  readonly name: ExecutorName;
  /** Instruction set chosen for the process, e.g. `amxbf16`, `avx512bf16`, `avx2`, `neon`, `scalar`; `js` for the reference. */
  readonly isa: string;
  readonly threads: number;
  readonly computeDtype: ComputeDType;
}

/** Where a weight's bytes lie; any byte address will do. */
export interface WeightBytes {
  readonly buffer: HostBuffer;
  /** Offset of the first byte: of the weight, or of the slice's first row. */
  readonly offset: number;
}

/** One part of one block, on the rows of one pass. */
export interface RunCall {
  readonly part: Part;
  readonly rows: PassRows;
  /**
   * Parallel to the graph's weights (to the sub-graph's in an expert part); those the part does not use may be absent.
   * A sliced linear gets the slice's own bytes; biases always come whole.
   */
  readonly weights: readonly (WeightBytes | undefined)[];
  /** `states[s][q]`: state s of the graph for sequence q of the pass. */
  readonly states: readonly (readonly LayerState[])[];
  /** Values carried between blocks, float32 `[maxRows, width]`, by the graph's input and output names. */
  readonly carry: ReadonlyMap<string, HostBuffer>;
  /** At least `program.workspaceBytes(maxRows)`; holds values between the parts of a block. */
  readonly workspace: HostBuffer;
  /** Row capacity the carry buffers and the workspace were made for. */
  readonly maxRows: number;
}

export interface RunResult {
  /** For a part that ends in a `route` op: the chosen experts, `[rows, topK]`. */
  readonly routes?: Int32Array;
}

/** A graph made ready to run, for every block that has this graph. */
export interface Program {
  readonly graph: Graph;
  /** Bytes of workspace for passes of up to `maxRows` rows. */
  workspaceBytes(maxRows: number): number;
  /** Runs one part; the call's buffers must stay as they are until it settles. */
  run(call: RunCall): Promise<RunResult>;
}

/** Runs graphs. Calls may be made while others are computed: they are computed in the order they were made. */
export interface Executor {
  readonly info: ExecutorInfo;
  /** Compiles a graph, or returns the program of an equal one. */
  compile(graph: Graph): Program;
  dispose(): Promise<void>;
}
