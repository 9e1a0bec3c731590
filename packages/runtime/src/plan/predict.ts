import { readAlignment } from '@airllm/loader';
import type { Model } from '../models/model';
import { activationBytes } from './activations';
import { hostShare } from './host-share';
import { expertParts, passWork, type SegmentWork } from './pass-work';
import { type PipelineStep, steadyPassSeconds } from './pipeline';
import { stateBytes } from './state-bytes';
import { diskBytesByLayer, streamedState } from './state-place';
import type { Plan } from './types';
import { keptPinned, type PassShape, widestPass } from './wide-pass';

/** What a machine does per second, as far as the time of a pass depends on it. */
export interface PassSpeeds {
  /** Bytes that stream from the drive. */
  readonly diskBytesPerSecond: number;
  /** Seconds until one small read is there: a row of the embedding. */
  readonly readSeconds: number;
  /** Bytes of weights that a product with one row goes through. */
  readonly dramBytesPerSecond: number;
  /** Operations of products with many rows, a multiplication and an addition counting as two. */
  readonly flopsPerSecond: number;
  /** Seconds of a call that runs a part of a graph, and of each op in it, beside its bytes and operations. */
  readonly callSeconds: number;
  readonly opSeconds: number;
  /** Of the device, where the plan has one. */
  readonly device?: DeviceSpeeds | undefined;
}

/** What a device does per second. */
export interface DeviceSpeeds {
  /** Bytes of weights brought to it: over the bus, and into its memory. */
  readonly uploadBytesPerSecond: number;
  /** Bytes of weights on the device that a product with one row goes through. */
  readonly bytesPerSecond: number;
  /** Operations of products with many rows. */
  readonly flopsPerSecond: number;
  readonly callSeconds: number;
}

/** The pass that {@link predictPass} predicts. */
export interface PredictOptions {
  /** Rows that run; more than the plan's widest pass takes several. @defaultValue 1: decoding */
  readonly rows?: number | undefined;
  /** Positions that each row attends to. @defaultValue 0 */
  readonly positions?: number | undefined;
  /** Of the first pass, which also reads what will then stay in memory. @defaultValue false */
  readonly first?: boolean | undefined;
}

/** What limits a pass: the drive, the bus to a device, reading weights from memory, arithmetic, or many small steps. */
export type Limit = 'disk' | 'bus' | 'dram' | 'flops' | 'steps';

/** Times are seconds. */
export interface PassPrediction {
  readonly seconds: number;
  /** What each would take if all else took nothing. */
  readonly terms: Readonly<Record<Limit, number>>;
  /** The largest term. */
  readonly binds: Limit;
  /** Expected to be read from the drive, states on disk included; of routed experts those that no slot holds. */
  readonly streamedBytes: number;
  /** Bytes of memory that would take a tenth off `seconds`; null where memory does not help. */
  readonly memoryForTenth: number | null;
}

/** Copying the logits out and taking the greatest: 0.3 ms for 128k of them on a machine at rest, 0.9 ms on a busy one. */
const SECONDS_PER_LOGIT = 5e-9;
/** Rows whose logits are wanted: the last. */
const HEAD_ROWS = 1;

/**
 * How long rows take, from a plan and a machine's speeds: by `t ≥ max(streamed / disk, uploaded / bus, weights / memory,
 * 2 · parameters · rows / flops)`, memory and arithmetic being the host's or the device's, taken segment by segment through the ring as the streamer does, and with the time of calls, of small
 * ops, of reading keys and values, of embedding rows and of sampling. Pure.
 *
 * Assumed: a product takes the longer of reading its weights and of its arithmetic; routed experts are chosen evenly, and
 * a slot holds one with the probability that any is held. Not in it: arithmetic of attention, which grows with positions.
 */
export function predictPass(
  plan: Plan,
  model: Model,
  speeds: PassSpeeds,
  options: PredictOptions = {},
): PassPrediction {
  const { rows = 1, positions = 0, first = false } = options;
  const shape = shapeOf(plan, model, rows, positions);
  const passes = Math.max(1, Math.ceil(rows / shape.rows));
  const lent = shape.lent === 0 ? plan : { ...plan, pinned: keptPinned(plan, shape.lent) };
  const parts = Array.from({ length: passes }, (_, i) =>
    predictOne(lent, model, speeds, {
      rows: Math.min(shape.rows, rows - i * shape.rows),
      headRows: i === passes - 1 ? HEAD_ROWS : 0,
      positions,
      stored: positions + i * shape.rows,
      first: first && i === 0,
    }),
  );
  const sum = (of: (part: Omit<PassPrediction, 'binds' | 'memoryForTenth'>) => number) =>
    parts.reduce((total, part) => total + of(part), 0);
  const terms = {
    disk: sum((part) => part.terms.disk),
    bus: sum((part) => part.terms.bus),
    dram: sum((part) => part.terms.dram),
    flops: sum((part) => part.terms.flops),
    steps: sum((part) => part.terms.steps),
  };
  const seconds = sum((part) => part.seconds);
  const binds = (Object.keys(terms) as Limit[]).reduce((most, term) => (terms[term] > terms[most] ? term : most));
  const streamedBytes = sum((part) => part.streamedBytes);
  const others = Math.max(terms.bus, terms.dram, terms.flops) + terms.steps;
  const memoryForTenth =
    binds === 'disk' && !first && others <= 0.9 * seconds
      ? plan.diskState !== null && plan.bytes.ring === 0
        ? // All there is to gain is to have the states in memory.
          Math.max(0, stateBytes(model, positions + rows, plan.maxRows) - plan.bytes.state)
        : Math.ceil((memoryPerByte(plan, streamedBytes / passes) * 0.1 * seconds * speeds.diskBytesPerSecond) / passes)
      : null;
  return { seconds, terms, binds, streamedBytes, memoryForTenth };
}

/** What the engine makes of a step of so many rows. */
function shapeOf(plan: Plan, model: Model, count: number, positions: number): PassShape {
  if (count <= plan.maxRows || plan.device !== null) return { rows: plan.maxRows, lent: 0 };
  const length = positions + count;
  const state = (rows: number) => stateBytes(model, length, rows);
  return widestPass(plan, {
    count,
    passes: (rows) => Math.ceil(count / rows),
    activations: activationBytes(model, readAlignment('direct')),
    streamedState: (rows) => (plan.diskState === null ? 0 : streamedState(model, length, count, rows)),
    fits: (rows) => state(rows) <= state(plan.maxRows),
  });
}

/**
 * Bytes of memory that save one byte of a pass's reads. A pinned segment is read in every pass; of the experts that have
 * no slot, which get further memory once all else is pinned, only those are read that are chosen.
 */
function memoryPerByte(plan: Plan, expected: number): number {
  const { count, bytes } = plan.expertSlots;
  return plan.bytes.ring > 0 ? 1 : ((expertParts(plan) - count) * bytes) / expected;
}

type Resolved = Required<{ readonly [Key in keyof PredictOptions]: NonNullable<PredictOptions[Key]> }> & {
  readonly headRows: number;
  /** Positions whose states a pass finds: it reads them where they are on disk. */
  readonly stored: number;
};

/** One pass of at most the plan's rows. */
function predictOne(
  plan: Plan,
  model: Model,
  speeds: PassSpeeds,
  options: Resolved,
): Omit<PassPrediction, 'binds' | 'memoryForTenth'> {
  const work = passWork(plan, model, options);
  const share = plan.device === null ? model : hostShare(model, plan.device);
  const stateSeconds = stateBytes(share, options.positions, options.rows) / speeds.dramBytesPerSecond;
  const between =
    speeds.readSeconds + speeds.callSeconds + model.config.vocabSize * options.headRows * SECONDS_PER_LOGIT;
  // Spread evenly: in which of its segments a layer attends matters little.
  const statePerSegment = stateSeconds / Math.max(1, work.length);
  const streamed = streamedStates(plan, model, options.stored);
  const steps = work.map(
    (each, i): PipelineStep => ({
      readSeconds: (each.readBytes + streamed[i]!) / speeds.diskBytesPerSecond,
      ringBytes: each.ringBytes,
      onDemand: each.onDemand,
      computeSeconds: computeSeconds(each, speeds) + statePerSegment,
    }),
  );
  const total = (of: (each: SegmentWork) => number) => work.reduce((sum, each) => sum + of(each), 0);
  const streamedBytes = total(({ readBytes }) => readBytes) + streamed.reduce((sum, bytes) => sum + bytes, 0);
  return {
    seconds: steadyPassSeconds(steps, {
      ringBytes: plan.bytes.ring,
      latencySeconds: speeds.readSeconds,
      betweenSeconds: between,
      first: options.first,
    }),
    terms: {
      disk: streamedBytes / speeds.diskBytesPerSecond,
      bus: total((each) => uploadSeconds(each, speeds)),
      dram: total((each) => each.bytes / sideOf(each, speeds).bytesPerSecond) + stateSeconds,
      flops: total((each) => each.flops / sideOf(each, speeds).flopsPerSecond),
      steps: total((each) => stepSeconds(each, speeds)) + between,
    },
    streamedBytes,
  };
}

/** Bytes of states that come from disk, by segment: a layer's with its first one. */
function streamedStates({ segments, diskState, device }: Plan, model: Model, stored: number): number[] {
  const layers = diskState === null ? [] : diskBytesByLayer(model, stored);
  return segments.map(({ block }, i) => {
    const first = block !== segments[i - 1]?.block;
    return first && device?.computes[block] !== true ? (layers[block] ?? 0) : 0;
  });
}

/** Uploads take turns with products: the runtime of the device does one thing at a time. */
function computeSeconds(work: SegmentWork, speeds: PassSpeeds): number {
  const { bytesPerSecond, flopsPerSecond } = sideOf(work, speeds);
  const product = Math.max(work.bytes / bytesPerSecond, work.flops / flopsPerSecond);
  return product + uploadSeconds(work, speeds) + stepSeconds(work, speeds);
}

function stepSeconds({ calls, ops, onDevice }: SegmentWork, speeds: PassSpeeds): number {
  const { device } = speeds;
  if (onDevice && device !== undefined) return calls * device.callSeconds;
  return calls * speeds.callSeconds + ops * speeds.opSeconds;
}

function uploadSeconds({ uploadBytes }: SegmentWork, { device }: PassSpeeds): number {
  return device === undefined ? 0 : uploadBytes / device.uploadBytesPerSecond;
}

/** Who goes through the weights; a device that was not measured counts as the host. */
function sideOf(
  { onDevice }: SegmentWork,
  speeds: PassSpeeds,
): Pick<DeviceSpeeds, 'bytesPerSecond' | 'flopsPerSecond'> {
  if (onDevice && speeds.device !== undefined) return speeds.device;
  return { bytesPerSecond: speeds.dramBytesPerSecond, flopsPerSecond: speeds.flopsPerSecond };
}
