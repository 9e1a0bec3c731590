import type { Graph, Part, StateSpec } from '../graph/graph';
import type { PassRows } from '../rows';
import type { PackedKind } from './packed-form';
import type { Provider } from './providers';

export type { Provider };

/** Memory of the process, as a thread can be told of it. Whoever sends it keeps it valid until the answer. */
export interface MemoryRef {
  readonly address: bigint;
  readonly length: number;
}

/** A host's buffer for a value carried between blocks; `id` is the buffer's. */
export interface CarryRef {
  readonly id: number;
  readonly memory: MemoryRef;
}

/** A state in blocks of host memory, by logical block; or one of the worker's own. */
export type StateRef = { readonly blocks: readonly (MemoryRef | undefined)[] } | { readonly state: number };

/** Passes whose rows the worker remembers: every layer of one names them. */
export const KNOWN_ROWS = 8;

/** Rows of a pass: sent whole once, known by number after that. */
export interface RowsRef {
  readonly id: number;
  readonly rows?: PassRows;
}

export type WeightsRef = readonly (MemoryRef | undefined)[] | { readonly uploaded: number };

export interface RunRequest {
  readonly do: 'run';
  readonly program: number;
  readonly part: Part;
  readonly rows: RowsRef;
  readonly weights: WeightsRef;
  readonly states: readonly (readonly StateRef[])[];
  readonly carry: ReadonlyMap<string, CarryRef>;
  readonly workspace: number;
  readonly maxRows: number;
}

/** What the worker is asked; everything but `open` names an executor that was opened before. */
export type Request =
  | { readonly do: 'open'; readonly provider: Provider; readonly threads: number }
  | { readonly do: 'program'; readonly program: number; readonly graph: Graph }
  | RunRequest
  | {
      readonly do: 'upload';
      readonly program: number;
      readonly part: Part;
      readonly weights: readonly (MemoryRef | undefined)[];
      readonly id: number;
      /** They will be computed with again and again. */
      readonly stays: boolean;
    }
  | { readonly do: 'freeWeights'; readonly id: number }
  | { readonly do: 'createState'; readonly id: number; readonly spec: StateSpec; readonly slots: number }
  /** Makes room for `slots` positions, keeping `[start, length)`. */
  | {
      readonly do: 'resizeState';
      readonly id: number;
      readonly slots: number;
      readonly start: number;
      readonly length: number;
    }
  | { readonly do: 'forkState'; readonly id: number; readonly from: number }
  | { readonly do: 'freeState'; readonly id: number }
  /** Blocks of a state that ends before `length`, to the host's memory or from it. */
  | {
      readonly do: 'readBlocks' | 'writeBlocks';
      readonly id: number;
      readonly first: number;
      readonly count: number;
      readonly length: number;
      readonly memory: MemoryRef;
    }
  | { readonly do: 'receive'; readonly carry: ReadonlyMap<string, CarryRef> }
  | { readonly do: 'send'; readonly carry: ReadonlyMap<string, CarryRef>; readonly rows: number }
  /** Forgets buffers of the host that are gone: carried values and workspaces. */
  | { readonly do: 'forget'; readonly ids: readonly number[] }
  /** How many of so many bytes the device has. */
  | { readonly do: 'probe'; readonly bytes: number }
  | { readonly do: 'stats' }
  | { readonly do: 'close' }
  /** Of the thread: ends it. */
  | { readonly do: 'end' };

export interface Opened {
  /** Of the device, for people. */
  readonly name: string;
  /** Whether it computes with float16, so that matrices can be stored in it. */
  readonly halfFloats: boolean;
  /** Forms in which quantised matrices stay as they are. */
  readonly packs: readonly PackedKind[];
  /** Whether it keeps nothing but weights. */
  readonly weightsAlone: boolean;
}

/** What the worker holds now, for tests and for people. */
export interface WorkerStats {
  readonly sessions: number;
  readonly buffers: number;
  readonly bufferBytes: number;
  /** Most that buffers ever took. */
  readonly peakBytes: number;
  readonly runs: number;
}

export interface Ask {
  readonly id: number;
  readonly executor: number;
  readonly request: Request;
}

export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly failure?: Failure;
}

export interface Failure {
  readonly name: string;
  readonly message: string;
  /** Of a `GraphError`. */
  readonly graph: { readonly op: string; readonly reason: string } | undefined;
}
