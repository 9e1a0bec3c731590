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
  /** Blocks of the model, and of them those that the device computes and that stay there; the head is the last. */
  readonly blocks: {
    readonly count: number;
    readonly computed: readonly number[];
    readonly resident: readonly number[];
  };
  readonly uploadedPerPass: number;
};

/** Where a plan's bytes go. */
export function summarisePlan(plan: Plan): PlanSummary {
  const { bytes, segments, pinned, expertSlots } = plan;
  const parts = segments.flatMap((segment) => segment.experts?.flat() ?? []);
  const expertBytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  const elsewhere = segments.filter(({ block }) => plan.device?.resident[block]);
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
    device: plan.device && summariseDevice(plan.device),
  };
}

function summariseDevice({ name, bytes, computes, resident, uploadedBytes }: DevicePlan): DeviceSummary {
  const numbers = (marks: readonly boolean[]) => marks.flatMap((marked, b) => (marked ? [b] : []));
  return {
    name,
    ...bytes,
    blocks: { count: computes.length, computed: numbers(computes), resident: numbers(resident) },
    uploadedPerPass: uploadedBytes,
  };
}
