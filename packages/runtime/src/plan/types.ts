import type { Graph, Part, StateSpec } from '@airllm/kernels';
import type { Extent } from '@airllm/loader';

/** Bytes of one weight (or of a slice of it) that a segment needs. */
export interface WeightExtent {
  /** Index in the (sub-)graph's weights. */
  readonly weight: number;
  readonly extent: Extent;
}

/** The smallest run of ops whose weights are loaded together. */
export interface Segment {
  readonly index: number;
  /** Index in `[...model.layers, model.head]`. */
  readonly block: number;
  readonly part: Part;
  readonly weights: readonly WeightExtent[];
  /** Bytes of its buffer: the extents as the reader lays them, alignment included. */
  readonly bytes: number;
  /** Present where `part` is one `expert` op: the parts of each expert, loaded only when it is chosen. */
  readonly experts?: readonly (readonly ExpertSegment[])[];
}

/** One part of one routed expert. */
export interface ExpertSegment {
  readonly part: Part;
  readonly weights: readonly WeightExtent[];
  readonly bytes: number;
}

/**
 * Which blocks a device computes. `resident`: only those whose weights it can hold for good, the last of the model, so
 * that values cross the bus once a pass; the host computes the others. `all`: every block; weights that it cannot hold
 * are uploaded in each pass. A list of block numbers is a placement that was made before.
 */
export type DeviceBlocks = 'resident' | 'all' | readonly number[];

/** A device's memory as a plan sees it; sizes are bytes there. */
export interface DeviceGrant {
  /** For people: `webgpu: NVIDIA H200`. */
  readonly name: string;
  /** Most it may take, everything included. */
  readonly bytes: number;
  readonly blocks: DeviceBlocks;
  /** Bytes of segments that its blocks are cut into, where a placement was made before. @defaultValue as suits its memory */
  readonly segmentBytes?: number | undefined;
  /** States, and values between parts, take the host's memory instead. @defaultValue false */
  readonly statesOnHost?: boolean | undefined;
  uploadBytes(graph: Graph, part: Part): number;
  /** The same where every matrix turns out to need float32, which only its numbers tell. */
  mostUploadBytes(graph: Graph, part: Part): number;
  stateBytes(spec: StateSpec, length: number): number;
  activationBytes(passes: readonly GraphPasses[], length: number): number;
  /** What `totalBytes` of uploads take on their way at most, there and in the host's memory. */
  transferBytes(passes: readonly GraphPasses[], totalBytes: number): { readonly device: number; readonly host: number };
}

/** How passes go through one graph. */
export interface GraphPasses {
  readonly graph: Graph;
  readonly parts: readonly Part[];
  readonly maxRows: number;
}

/** The device's share of a plan. */
export interface DevicePlan {
  readonly name: string;
  /** By block of `[...model.layers, model.head]`: the device computes it. */
  readonly computes: readonly boolean[];
  /**
   * Bytes of segments that these blocks are cut into, whatever memory the host has: how a device rounds may depend on the
   * shapes it computes with.
   */
  readonly segmentBytes: number;
  /** By segment of the plan, as `pinned`: its weights stay on the device once uploaded. */
  readonly resident: readonly boolean[];
  readonly bytes: {
    readonly weights: number;
    /** Uploads under way: the part that is computed with, the one after it, and what is copied of it. */
    readonly staging: number;
    readonly state: number;
    readonly activations: number;
    readonly total: number;
    readonly limit: number;
  };
  /** `bytes.state` is memory of the host, and in its total. */
  readonly statesOnHost: boolean;
  /** Bytes uploaded in every pass; of routed experts those that are chosen come on top. */
  readonly uploadedBytes: number;
}

/** Memory of a model that drafts for another one. */
export interface DraftBytes {
  /** Counts against `weightsMemory` too. */
  readonly weights: number;
  readonly state: number;
  readonly activations: number;
}

/**
 * Where keys and values are kept between passes: in memory, or in a file whose parts come in with their layer's turn.
 * `auto`: in memory, as long as it has room for them beside passes that are not all too narrow.
 */
export type StatePlace = 'auto' | 'memory' | 'disk';

/** States in a file; sizes are bytes. Those of layers with a sliding window stay in memory. */
export interface DiskStatePlan {
  /** Folder of the file. */
  readonly dir: string;
  /** The plan's context length, and bytes of the states in the file at that length: what a pass then reads. */
  readonly positions: number;
  readonly bytes: number;
  /** Of one region, which holds the states of the layer whose turn it is, and how many there are. */
  readonly regionBytes: number;
  readonly regions: number;
  /** Of the threads that read and write the file. */
  readonly threadBytes: number;
}

/** What a plan is made from. All sizes are bytes. */
export interface PlanOptions {
  /** Cap for the whole process. @defaultValue unlimited */
  readonly memory?: number;
  /** Cap for pinned weights, ring and expert slots only. @defaultValue what `memory` leaves */
  readonly weightsMemory?: number;
  /** Node, code, tokenizer and other users of the process; counts against `memory`. */
  readonly processBytes: number;
  /** A smaller model that drafts tokens for this one; counts against `memory`. @defaultValue none */
  readonly draft?: DraftBytes | undefined;
  /** Positions of state to hold room for, in each of `sequences`. */
  readonly contextLength: number;
  /** Sequences of that length that have room at a time; of shorter ones more do. @defaultValue 1 */
  readonly sequences?: number | undefined;
  /** Rows of the widest pass wanted; fewer where memory is short. @defaultValue 512 */
  readonly maxRows?: number;
  /** Rows whose logits are computed together. @defaultValue 16: more pays only for those who score whole texts */
  readonly logitRows?: number;
  /** Start alignment and length granularity of reads: 4096 for direct readers, else 1. */
  readonly readAlignment: number;
  /** Which drive a file lies on, by any number; absent, all lie on one. */
  readonly driveOf?: ((file: string) => number) | undefined;
  /** Memory of an executor of its own; absent, the host computes all. */
  readonly device?: DeviceGrant | undefined;
  /** Anything but `memory` needs `stateDir`. @defaultValue 'memory' */
  readonly statePlace?: StatePlace | undefined;
  /** Folder for states that do not stay in memory. */
  readonly stateDir?: string | undefined;
}

/** Where every byte goes; a pure function of model and options, made once. */
export interface Plan {
  readonly segments: readonly Segment[];
  /** `pinned[i]`: segment i stays in memory once read. */
  readonly pinned: readonly boolean[];
  readonly maxRows: number;
  /** Rows whose logits are computed together: the vocabulary makes them large. */
  readonly logitRows: number;
  /** Rows of one pass whose logits may be wanted: of more than are computed together, some are kept until all are there. */
  readonly passLogitRows: number;
  readonly bytes: {
    readonly weights: number;
    readonly pinned: number;
    readonly ring: number;
    readonly experts: number;
    /** Where states are on disk: their regions, the threads that bring them, and the states that stay. */
    readonly state: number;
    /** Workspace, carried values, logits, gathered embedding rows, rope tables. */
    readonly activations: number;
    readonly process: number;
    /** Weights on their way to a device. */
    readonly staging: number;
    /** A model that drafts for this one, with its state and activations. */
    readonly draft: number;
    /** All of the above that count against `memory`. */
    readonly total: number;
  };
  /** LRU slots for routed experts: how many, and bytes of each. */
  readonly expertSlots: { readonly count: number; readonly bytes: number };
  /** Bytes of weights read from disk in one pass of a dense model (upper bound with every expert chosen for MoE). */
  readonly streamedBytes: number;
  /** States that are kept on disk; null where all stay in memory. */
  readonly diskState: DiskStatePlan | null;
  /** Smallest `memory` and `weightsMemory` that would still work. */
  readonly floor: { readonly memory: number; readonly weightsMemory: number };
  /** What a device computes and holds; null where the host does all. */
  readonly device: DevicePlan | null;
}
