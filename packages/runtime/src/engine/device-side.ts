import {
  type Device,
  type DeviceWeights,
  type Executor,
  type LayerState,
  OnnxError,
  type Program,
  type RunCall,
  type StateSpec,
  type WeightBytes,
} from '@airllm/kernels';
import type { HostBuffer } from '@airllm/loader';
import type { Model } from '../models/model';
import type { DevicePlan, Segment } from '../plan/types';
import { Admission } from './admission';
import { InOrder } from './in-order';
import type { Streamer } from './streamer';

type Carry = ReadonlyMap<string, HostBuffer>;

/** One segment on the device, with everything but its weights. */
export interface DeviceRun {
  readonly segment: Segment;
  readonly program: Program;
  readonly call: Omit<RunCall, 'part' | 'weights'>;
  /** Weights by their index, from where the streamer put them. */
  readonly indexed: (placed: Awaited<ReturnType<Streamer['acquire']>>) => readonly (WeightBytes | undefined)[];
  readonly compute: (call: RunCall) => Promise<Int32Array | undefined>;
  /** What it computes is needed before the next segment: which experts were chosen. */
  readonly awaited: boolean;
}

/**
 * The part of each pass that a device computes. Weights that stay are uploaded on their first turn and never read again;
 * others are uploaded in each pass, one part while the one before it is computed with. Values cross the bus where a pass
 * changes sides.
 */
export class DeviceSide {
  readonly #device: Device;
  readonly #plan: DevicePlan;
  readonly #streamer: Streamer;
  readonly #kept = new Map<number, DeviceWeights>();
  /** Of what is kept, that which no pass has been completed with. */
  readonly #fresh = new Set<Segment>();
  #wasShort = false;
  #keptBytes = 0;
  /** The part computed with may be one behind the one being uploaded: the plan's staging. */
  readonly #ahead = new InOrder(1);
  readonly #admission: Admission;
  #holdsValues = false;

  constructor(executor: Executor, plan: DevicePlan, streamer: Streamer) {
    if (executor.device === undefined) throw new Error(`executor ${executor.info.name} has no device`);
    this.#device = executor.device;
    this.#plan = plan;
    this.#streamer = streamer;
    this.#admission = new Admission(plan.bytes.state);
  }

  /** Bytes of buffers by the device's own count. */
  memory(): ReturnType<Device['held']> {
    return this.#device.held();
  }

  /** Waits for room for a sequence's states, and resolves to what gives it back. */
  admit(model: Model, maxLength: number, signal: AbortSignal | undefined): Promise<() => void> {
    let bytes = 0;
    model.layers.forEach(({ graph }, b) => {
      if (!this.#plan.computes[b]) return;
      for (const spec of graph.states) bytes += this.#device.stateBytes(spec, maxLength);
    });
    return this.#admission.enter(bytes, signal);
  }

  createState(spec: StateSpec, maxLength: number): LayerState {
    return this.#device.createState(spec, maxLength);
  }

  /** A pass begins: its values are the host's. */
  begin(): void {
    this.#holdsValues = false;
  }

  /** Before the device computes with values. */
  enter(carry: Carry): void {
    if (this.#holdsValues) return;
    this.#device.receive(carry);
    this.#holdsValues = true;
  }

  /** Before the host computes with values, of `rows` rows, or looks at them. */
  async leave(carry: Carry, rows: number): Promise<void> {
    await this.#ahead.settle();
    if (!this.#holdsValues) return;
    this.#holdsValues = false;
    await this.#watch(this.#device.send(carry, rows));
  }

  /** Runs one segment whose turn it is, and returns the experts chosen if it ends at a router. */
  async run({ segment, program, call, indexed, compute, awaited }: DeviceRun): Promise<Int32Array | undefined> {
    const kept = this.#kept.get(segment.index);
    const weights = kept ?? (await this.#upload(segment, program, indexed));
    if (kept !== undefined) await this.#streamer.skip();
    const stays = this.#kept.has(segment.index);
    const computed = this.#watch(compute({ ...call, part: segment.part, weights })).finally(() => {
      if (!stays) weights.dispose();
    });
    await this.#ahead.take(computed);
    return awaited ? computed : undefined;
  }

  /** Waits for what was begun: a pass is complete. Rejects with what it failed with. */
  async settle(): Promise<void> {
    await this.#ahead.settle();
    this.#fresh.clear();
  }

  /** Waits for what a pass that broke off has begun. */
  async abandon(): Promise<void> {
    await this.#ahead.settle().catch(() => {});
    if (!this.#wasShort) return;
    this.#wasShort = false;
    // A device may say only later that there was no memory for a buffer, and not for which.
    for (const segment of this.#fresh) this.#forget(segment);
    this.#fresh.clear();
  }

  /** Refuses those who wait to be admitted. */
  close(reason: unknown): void {
    this.#admission.close(reason);
  }

  dispose(): void {
    for (const weights of this.#kept.values()) weights.dispose();
    this.#kept.clear();
  }

  async #upload(segment: Segment, program: Program, indexed: DeviceRun['indexed']): Promise<DeviceWeights> {
    const placed = await this.#streamer.acquire(segment);
    const stays = this.#plan.resident[segment.index]!;
    const weights = await this.#watch(this.#device.upload(program, segment.part, indexed(placed), { stays }));
    if (stays) this.#keep(segment, weights);
    this.#streamer.release();
    return weights;
  }

  /** Where weights turned out to take more than planned, those that find no room go on being uploaded in each pass. */
  #keep(segment: Segment, weights: DeviceWeights): void {
    if (this.#keptBytes + weights.deviceBytes > this.#plan.bytes.weights) return;
    this.#keptBytes += weights.deviceBytes;
    this.#kept.set(segment.index, weights);
    this.#fresh.add(segment);
    this.#streamer.moveOut(segment);
  }

  #forget(segment: Segment): void {
    const weights = this.#kept.get(segment.index)!;
    this.#kept.delete(segment.index);
    this.#keptBytes -= weights.deviceBytes;
    weights.dispose();
    this.#streamer.moveBack(segment);
  }

  #watch<T>(work: Promise<T>): Promise<T> {
    return work.catch((error: unknown) => {
      this.#wasShort ||= OnnxError.isInstance(error) && error.failure === 'memory';
      throw error;
    });
  }
}
