import type { HostBuffer } from '@airllm/loader';
import type { Graph, Part } from './graph/graph';
import type { StateSpec } from './graph/specs';
import type { PassRows } from './rows';
import type { LayerState } from './state/layer-state';

/** The executors there are: C++ with SIMD, onnxruntime-node, plain TypeScript. */
export type ExecutorName = 'native' | 'onnx' | 'reference';

/**
 * What bf16 and quantised matrices are multiplied with. `float32`: activations as they are, quantised weights as their
 * format gives them. `bfloat16`: both rounded to bf16 (to nearest even), products added in float32. All else is float32
 * in both: values between ops, matrices stored in float32 and float16, attention.
 */
export type ComputeDType = 'float32' | 'bfloat16';

/** What runs the ops, for people and for the record. */
export interface ExecutorInfo {
  readonly name: ExecutorName;
  /**
   * Instruction set chosen for the process, e.g. `amxbf16`, `avx512bf16`, `avx2`, `neon`, `scalar`; `js` for the
   * reference; onnx's provider.
   */
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
   * A sliced linear gets the slice's own bytes; biases always come whole. For an executor with a device also the part's
   * weights as they were uploaded.
   */
  readonly weights: readonly (WeightBytes | undefined)[] | DeviceWeights;
  /** `states[s][q]`: state s of the graph for sequence q of the pass. */
  readonly states: readonly (readonly LayerState[])[];
  /** Values carried between blocks, float32 `[maxRows, width]`, by the graph's input and output names. */
  readonly carry: ReadonlyMap<string, HostBuffer>;
  /** At least `program.workspaceBytes(maxRows)`; holds values between the parts of a block. */
  readonly workspace: HostBuffer;
  /** Row capacity the carry buffers and the workspace were made for. */
  readonly maxRows: number;
}

/** What a run gives beside the values in its buffers. */
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

/** A part with all that stays the same from pass to pass. */
export interface ChainLink extends Pick<RunCall, 'part' | 'weights' | 'carry' | 'workspace' | 'maxRows'> {
  readonly program: Program;
}

/** What a chain runs on. */
export interface ChainCall {
  readonly rows: PassRows;
  /** `states[l]`: of link l, as `RunCall` has them. */
  readonly states: readonly RunCall['states'][];
}

/** Parts that are handed to the threads together, made ready once for many passes. */
export interface Chain {
  /** Runs all parts in order, as `Program.run` would one by one. Routes are not told. */
  run(call: ChainCall): Promise<void>;
  /** Frees what was made ready, once what runs has ended; the links' buffers stay the caller's. Idempotent. */
  dispose(): void;
}

/** How passes go through one graph on a device. */
export interface DevicePass {
  readonly program: Program;
  /** The parts it is run in, one of each kind at least; of an `expert` op with any expert's. */
  readonly parts: readonly Part[];
  /** Most rows of a pass. */
  readonly maxRows: number;
}

/** Weights of one part in the memory of an executor's device. */
export interface DeviceWeights {
  /** What they take there. */
  readonly deviceBytes: number;
  /** Frees them when the calls that use them have ended. Idempotent. */
  dispose(): void;
}

/** A state on a device, whose content can be brought to the host and back. */
export interface DeviceLayerState extends LayerState {
  /** Bytes of a block of 32 positions: keys `[kvHeads, 32, keyDim]`, then values, in float32. */
  readonly blockBytes: number;
  /** Makes an empty state one that keeps positions from `start`, a multiple of 32, to below `length`. */
  place(start: number, length: number): void;
  /** Blocks from `first` on into a buffer, zeros where there is no position. */
  readBlocks(first: number, count: number, into: HostBuffer): Promise<void>;
  /** The reverse of `readBlocks`: blocks from `first` on out of a buffer. */
  writeBlocks(first: number, count: number, from: HostBuffer): Promise<void>;
}

/** How weights are brought to a device. */
export interface UploadOptions {
  /**
   * They are kept for many passes: more may be done now, so that less is done in each of them. @defaultValue false
   */
  readonly stays?: boolean | undefined;
}

/**
 * Memory of its own that an executor computes from. Values carried between blocks stay there while consecutive calls are
 * this executor's: `receive` and `send` stand where a pass changes from one executor to another.
 */
export interface Device {
  /** For people: `webgpu: NVIDIA H200`, `onnxruntime cpu`. */
  readonly name: string;
  /** Most bytes that weights, states, values and staging may take, and what they take now. */
  readonly limitBytes: number;
  /** It holds weights alone: states, and values between parts, lie in the host's memory and are not counted here. */
  readonly statesOnHost?: boolean | undefined;
  readonly usedBytes: number;
  /**
   * Copies a part's weights to the device. The host's bytes may change once it has resolved. Rows of an embedding are
   * other ones in each pass and are not uploaded: such a part is run with the host's. Throws `DeviceMemoryError`.
   */
  upload(
    program: Program,
    part: Part,
    weights: readonly (WeightBytes | undefined)[],
    options?: UploadOptions,
  ): Promise<DeviceWeights>;
  /** Bytes `upload` will take there for weights of a part; more only where a matrix's numbers need it. */
  uploadBytes(program: Program, part: Part): number;
  /**
   * How many of `bytes` more bytes the device has now: takes them and gives them back. What was granted may not be there,
   * since others compute on it too.
   */
  available(bytes: number): Promise<number>;
  /** Bytes of buffers by the device's own count, values included: now, and the most there ever were. */
  held(): Promise<{ readonly now: number; readonly most: number }>;
  /** An empty state for up to `maxLength` positions. */
  createState(spec: StateSpec, maxLength: number): LayerState;
  /** Bytes of such a state. */
  stateBytes(spec: StateSpec, maxLength: number): number;
  /** The same where every matrix's numbers need it. */
  mostUploadBytes(program: Program, part: Part): number;
  /** Most bytes of values on the device in such passes, over states of up to `length` positions. */
  activationBytes(passes: readonly DevicePass[], length: number): number;
  /** What `totalBytes` of uploads of these passes' weights take on their way at most: there, and in the host's memory. */
  transferBytes(passes: readonly DevicePass[], totalBytes: number): { readonly device: number; readonly host: number };
  /**
   * The host's buffers hold newer values than the device. From here to `send` they stay behind: without it, every call
   * takes its inputs from them and puts its outputs there.
   */
  receive(carry: ReadonlyMap<string, HostBuffer>): void;
  /** Brings what the device computed into the host's buffers: the first `rows` rows. */
  send(carry: ReadonlyMap<string, HostBuffer>, rows: number): Promise<void>;
}

/** Runs graphs. Calls may be made while others are computed: they are computed in the order they were made. */
export interface Executor {
  readonly info: ExecutorInfo;
  /** Compiles a graph, or returns the program of an equal one. */
  compile(graph: Graph): Program;
  /**
   * Makes parts ready that are run one after the other again and again, with the same buffers. Present where that is
   * quicker than calls.
   */
  chain?(links: readonly ChainLink[]): Chain;
  /** Present where weights and states must be brought to memory of its own. */
  readonly device?: Device;
  /** Ends the threads and frees the memory when the calls made before have ended. Idempotent. */
  dispose(): Promise<void>;
}
