import type { DevicePlan, DiskStatePlan, Plan } from './types';

/** A plan in figures, for people and for `--json`; all sizes are bytes. */
export interface PlanSummary {
  /** All weights on disk that the model uses, as the reader lays them. */
  readonly weights: number;
  /** Kept in memory once read, routed experts' slots not included. */
  readonly pinned: number;
  /** Read anew for every pass; for a model with routed experts the most that a pass may read. */
  readonly streamedPerPass: number;
  /** The least a pass reads: without routed experts. */
  readonly streamedStatic: number;
  readonly ring: number;
  readonly expertSlots: { readonly count: number; readonly bytes: number; readonly parts: number };
  readonly state: number;
  /** Keys and values in a file, of which a pass reads what is filled; null where all are in memory. */
  readonly diskState: DiskStatePlan | null;
  readonly activations: number;
  readonly process: number;
  /** Weights on their way to a device. */
  readonly staging: number;
  /** A model that drafts for this one, with its state and activations. */
  readonly draft: number;
  readonly total: number;
  /** Rows of the widest pass. */
  readonly maxRows: number;
  readonly segments: { readonly count: number; readonly pinned: number; readonly largest: number };
  readonly floor: Plan['floor'];
  /** What a device takes and computes; null where the host does all. */
  readonly device: DeviceSummary | null;
}

/** A device's share; sizes are bytes there. */
export type DeviceSummary = DevicePlan['bytes'] & {
  readonly name: string;
  /** Blocks of the model, and of them those that the device computes and that stay there whole; the head is the last. */
  readonly blocks: {
    readonly count: number;
    readonly computed: readonly number[];
    readonly resident: readonly number[];
  };
  /** Segments of the blocks that it computes, and how many of them stay there. */
  readonly segments: { readonly count: number; readonly resident: number };
  /** Of routed experts those that are chosen come on top. */
  readonly uploadedPerPass: number;
  readonly uploadsExperts: boolean;
};

/** Where a plan's bytes go. */
export function summarisePlan(plan: Plan): PlanSummary {
  const { bytes, segments, pinned, expertSlots } = plan;
  const parts = segments.flatMap((segment) => segment.experts?.flat() ?? []);
  const expertBytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  const elsewhere = segments.filter(({ index }) => plan.device?.resident[index]);
  const elsewhereBytes = elsewhere.reduce((sum, segment) => sum + segment.bytes, 0);
  return {
    weights: bytes.weights,
    pinned: bytes.pinned,
    streamedPerPass: plan.streamedBytes,
    streamedStatic: bytes.weights - expertBytes - bytes.pinned - elsewhereBytes,
    ring: bytes.ring,
    expertSlots: { ...expertSlots, parts: parts.length },
    state: bytes.state,
    diskState: plan.diskState,
    activations: bytes.activations,
    process: bytes.process,
    staging: bytes.staging,
    draft: bytes.draft,
    total: bytes.total,
    maxRows: plan.maxRows,
    segments: {
      count: segments.length,
      pinned: pinned.filter((kept) => kept).length,
      largest: segments.reduce((most, segment) => Math.max(most, segment.bytes), 0),
    },
    floor: plan.floor,
    device: plan.device && summariseDevice(plan.device, segments),
  };
}

function summariseDevice(device: DevicePlan, segments: Plan['segments']): DeviceSummary {
  const { name, bytes, computes, uploadedBytes } = device;
  const own = segments.filter(({ block }) => computes[block]);
  const resident = own.filter(({ index }) => device.resident[index]);
  const brought = new Set(own.filter(({ index }) => !device.resident[index]).map(({ block }) => block));
  const computed = computes.flatMap((mine, b) => (mine ? [b] : []));
  return {
    name,
    ...bytes,
    blocks: { count: computes.length, computed, resident: computed.filter((b) => !brought.has(b)) },
    segments: { count: own.length, resident: resident.length },
    uploadedPerPass: uploadedBytes,
    uploadsExperts: own.some(({ experts }) => experts !== undefined),
  };
}
