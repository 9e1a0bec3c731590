import type { Executor, LayerState } from '@airllm/kernels';
import { DisposedError, type Reader } from '@airllm/loader';
import type { Model } from '../models/model';
import { activationBytes } from '../plan/activations';
import { hostShare } from '../plan/host-share';
import { stateBytes } from '../plan/state-bytes';
import { streamedState } from '../plan/state-place';
import type { Plan } from '../plan/types';
import { keptPinned, type PassShape, widestPass } from '../plan/wide-pass';
import { Admission } from './admission';
import { type Arrival, giveUpOn } from './arrival';
import { HostStates } from './host-states';
import { InOrder } from './in-order';
import type { PassBuffers } from './pass-buffers';
import { AHEAD, type Pass, PassRunner } from './pass-runner';
import { cutPasses, packRows, type Row } from './rows';
import { Sequence } from './sequence';
import type { StateBlocks } from './state-blocks';
import type { Observer } from './trace';

/** What an {@link Engine} is made of. */
export interface EngineOptions {
  readonly model: Model;
  readonly plan: Plan;
  /** Stays the caller's: the engine does not dispose it. */
  readonly executor: Executor;
  /** Stays the caller's: the engine does not close it. */
  readonly reader: Reader;
  /** What computes the blocks that the plan gives to a device; stays the caller's. */
  readonly deviceExecutor?: Executor | undefined;
  /** Where weights are still being downloaded: `reader` waits for them, and no logits leave before they are verified. */
  readonly arrival?: Arrival | undefined;
  /** Is told what took how long. */
  readonly observe?: Observer | undefined;
}

/** What an engine has done since it was opened. */
export interface EngineStats {
  readonly passes: number;
  readonly rows: number;
  /** Bytes that were read, and those of them that the page cache held. */
  readonly bytesRead: number;
  readonly bytesCached: number;
  /** Milliseconds in which something was being read, for whatever pass. */
  readonly readMs: number;
  /** Of weights that the page cache had, and that were first computed with there; what is copied later counts as read. */
  readonly bytesMapped: number;
  /** Of keys and values that are kept on disk; not part of `bytesRead`. */
  readonly stateBytesRead: number;
  readonly stateBytesWritten: number;
  /** Milliseconds spent waiting for weights and states, and in kernels. */
  readonly waitMs: number;
  readonly computeMs: number;
}

/** What {@link Engine.step} takes beside the rows. */
export interface StepOptions {
  /** Ends the step between two segments; `step` rejects with its reason and no row counts as run. */
  readonly signal?: AbortSignal | undefined;
  /** Arrays of the vocabulary's size that nobody reads any more: logits are written to those, and they are taken out. */
  readonly spare?: Float32Array[] | undefined;
}

/**
 * Runs rows through a model whose weights stream past. It knows rows and segments; prompts, sampling and text are
 * others' business. Steps are taken one at a time, in the order they were asked for.
 */
export class Engine {
  readonly model: Model;
  readonly plan: Plan;
  readonly #observe: Observer;
  /** The model without what a device keeps. */
  readonly #hostShare: Model;
  readonly #reader: Reader;
  readonly #arrival: Arrival | undefined;
  readonly #states: HostStates;
  readonly #admission: Admission;
  readonly #passes: PassRunner;
  #queue: Promise<unknown> = Promise.resolve();
  #broken = false;
  #disposed = false;
  #passCount = 0;
  #rowCount = 0;

  constructor(options: EngineOptions) {
    const { model, plan, reader, observe = () => {} } = options;
    this.#observe = observe;
    this.model = model;
    this.plan = plan;
    this.#hostShare = plan.device === null ? model : hostShare(model, plan.device);
    this.#reader = reader;
    this.#arrival = options.arrival;
    this.#states = new HostStates({ plan, share: this.#hostShare, layers: model.layers, observe });
    this.#admission = new Admission(plan.bytes.state);
    this.#passes = new PassRunner({ ...options, observe, states: this.#states });
  }

  /**
   * An empty sequence that may grow to `maxLength` positions, as soon as the plan's state memory has room for it beside
   * the others. Dispose it when it is done. Rejects with the signal's reason, and where states are kept on disk with
   * `StateSpaceError` and `WriteError`.
   */
  async openSequence(maxLength: number, options: StepOptions = {}): Promise<Sequence> {
    const leaveHost = await this.#admission.enter(this.#states.need(maxLength), options.signal);
    const admitted = this.#states.admit(maxLength).then(() => {
      return this.#passes.device?.admit(this.model, maxLength, options.signal);
    });
    const leaveDevice = await admitted.catch((error: unknown) => {
      leaveHost();
      throw error;
    });
    const leave = () => {
      leaveHost();
      leaveDevice?.();
    };
    try {
      if (this.#disposed) throw new DisposedError('engine');
      return new Sequence(this.#emptyStates(maxLength), { maxRows: this.plan.maxRows, onDispose: leave });
    } catch (error) {
      leave();
      throw error;
    }
  }

  /**
   * A copy of a sequence that may grow to `maxLength` positions; null where there is no room for it now, or others wait
   * for it. States on a device are not copied.
   */
  forkSequence(sequence: Sequence, maxLength: number): Sequence | null {
    if (this.#passes.device !== null) return null;
    const leave = this.#admission.tryEnter(this.#states.need(maxLength));
    if (leave === null) return null;
    try {
      return sequence.fork(leave);
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** The blocks of a sequence's state, to be saved or restored between steps; null where it is on a device. */
  stateBlocks(state: LayerState): StateBlocks | null {
    if (this.#disposed) throw new DisposedError('engine');
    return this.#states.blocks(state);
  }

  get stats(): EngineStats {
    const { bytesRead, bytesCached, busyMs } = this.#reader.stats;
    const states = this.#states.stats;
    return {
      passes: this.#passCount,
      rows: this.#rowCount,
      bytesRead,
      bytesCached,
      readMs: busyMs,
      bytesMapped: this.#passes.streamer.bytesMapped,
      stateBytesRead: states.bytesRead,
      stateBytesWritten: states.bytesWritten,
      waitMs: this.#passes.waitMs + (this.#states.stream?.waitMs ?? 0),
      computeMs: this.#passes.computeMs,
    };
  }

  /** Bytes a device's buffers take now and took at most, by its own count; null where none computes. */
  async deviceMemory(): Promise<{ readonly now: number; readonly most: number } | null> {
    return (await this.#passes.device?.memory()) ?? null;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Starts reading weights before the first step asks for them. */
  prefetch(): void {
    if (this.#disposed) throw new DisposedError('engine');
    this.#passes.streamer.prefetch();
  }

  /** Rows of one pass whose logits may be wanted. A step that wants more of them takes several passes. */
  get mostLogitRows(): number {
    return this.plan.passLogitRows;
  }

  /** How a step of `count` rows is run, the longest sequence having `length` positions after it. */
  passShape(count: number, length: number): PassShape {
    return this.#shape(count, length, (width) => Math.ceil(count / width));
  }

  /**
   * Runs rows of any number of sequences and returns the logits `[vocabSize]` of those that want them, in order. Takes
   * as many passes as memory asks for: of more rows than the plan has room for, as few as pinned weights can make place
   * for. Rows of one sequence must continue it without a gap.
   */
  step(rows: readonly Row[], options: StepOptions = {}): Promise<Float32Array[]> {
    const result = this.#queue.then(() => this.#step(rows, options));
    this.#queue = result.catch(() => {});
    return result;
  }

  /** Waits for the segment being run, then frees everything; steps not yet done reject. Idempotent. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#admission.close(new DisposedError('engine'));
    this.#passes.device?.close(new DisposedError('engine'));
    this.#arrival?.end(new DisposedError('engine'));
    await this.#queue;
    await this.#passes.dispose();
    await this.#states.dispose();
  }

  #emptyStates(maxLength: number): LayerState[][] {
    const { model, plan } = this;
    const made: LayerState[] = [];
    try {
      return model.layers.map(({ graph }, layer) => {
        const device = plan.device?.computes[layer] ? this.#passes.device : null;
        return graph.states.map((spec) => {
          const state = device?.createState(spec, maxLength) ?? this.#states.create(spec, layer, maxLength);
          made.push(state);
          return state;
        });
      });
    } catch (error) {
      for (const state of made) state.dispose();
      throw error;
    }
  }

  async #step(rows: readonly Row[], options: StepOptions): Promise<Float32Array[]> {
    this.#checkGoOn(options.signal);
    const wide = await this.#widen(rows);
    const buffers = wide ?? this.#passes.buffers;
    const logits: Float32Array[] = [];
    try {
      for (const pass of cutPasses(rows, buffers.maxRows, this.mostLogitRows)) {
        logits.push(...(await this.#pass(pass, buffers, options)));
      }
      return logits;
    } finally {
      if (wide !== undefined) this.#narrow(wide);
    }
  }

  /** Buffers for wider passes than the plan's, in the place of pinned weights, where that saves reading. */
  async #widen(rows: readonly Row[]): Promise<PassBuffers | undefined> {
    const { plan } = this;
    if (rows.length <= plan.maxRows) return undefined;
    const length = 1 + rows.reduce((most, { position }) => Math.max(most, position), 0);
    const shape = this.#shape(rows.length, length, (width) => cutPasses(rows, width, this.mostLogitRows).length);
    if (shape.lent === 0) return undefined;
    await this.#passes.streamer.lend(keptPinned(plan, shape.lent));
    try {
      return this.#passes.openBuffers(shape.rows);
    } catch (error) {
      this.#passes.streamer.reclaim();
      throw error;
    }
  }

  #shape(count: number, length: number, passes: (width: number) => number): PassShape {
    const { model, plan } = this;
    // A device has room for the plan's passes alone.
    if (count <= plan.maxRows || plan.device !== null) return { rows: plan.maxRows, lent: 0 };
    // Layers with a window keep more of a wide pass.
    const state = (width: number) => stateBytes(this.#hostShare, length, width);
    return widestPass(plan, {
      count,
      passes,
      activations: activationBytes(model, this.#reader.alignment, plan.logitRows),
      streamedState: (width) => (plan.diskState === null ? 0 : streamedState(this.#hostShare, length, count, width)),
      fits: (width) => state(width) <= state(plan.maxRows),
    });
  }

  #narrow(wide: PassBuffers): void {
    wide.dispose();
    this.#passes.streamer.reclaim();
  }

  async #pass(rows: readonly Row[], buffers: PassBuffers, options: StepOptions): Promise<Float32Array[]> {
    const { signal, spare } = options;
    this.#checkGoOn(signal);
    const goesOn = () => this.#checkGoOn(signal);
    const pass: Pass = { rows, packed: packRows(rows), buffers, spare, goesOn, ahead: new InOrder(AHEAD) };
    this.#reserve(rows);
    const start = performance.now();
    const waitOn = giveUpOn(signal, this.#arrival);
    try {
      if (this.#broken) await this.#passes.streamer.restart();
      this.#broken = true;
      await this.#states.stream?.begin(pass.packed.sequences);
      const logits = await this.#passes.run(pass);
      await this.#states.stream?.settle();
      if (logits.length > 0) await this.#arrival?.settled(signal);
      this.#broken = false;
      this.#passCount++;
      this.#rowCount += rows.length;
      for (const row of rows) row.sequence.advance(row.position + 1);
      this.#observe({
        track: 'pass',
        name: `pass ${this.#passCount}`,
        start,
        end: performance.now(),
        rows: rows.length,
      });
      return logits;
    } catch (error) {
      // What was handed over is computed all the same, on states and buffers that are given back after this.
      await this.#passes.settle(pass);
      await this.#states.stream?.settle().catch(() => {});
      for (const { sequence } of rows) sequence.truncate(sequence.length);
      throw error;
    } finally {
      waitOn();
    }
  }

  /** Between segments: a pass over a large model takes minutes, and nobody should wait for its end. */
  #checkGoOn(signal: AbortSignal | undefined): void {
    if (this.#disposed) throw new DisposedError('engine');
    signal?.throwIfAborted();
  }

  #reserve(rows: readonly Row[]): void {
    for (const { sequence, position } of rows) sequence.reserve(position + 1);
  }
}
