import type { Block, ChainLink, Executor, Graph, LayerState, Program, RunCall, WeightBytes } from '@airllm/kernels';
import { DisposedError, type HostBuffer, type MetaTensor, OptionError, type Reader } from '@airllm/loader';
import type { Model } from '../models/model';
import { activationBytes } from '../plan/activations';
import { hostShare } from '../plan/device';
import { stateBytes } from '../plan/state-bytes';
import { streamedState } from '../plan/state-place';
import type { Plan, Segment } from '../plan/types';
import { keptPinned, type PassShape, widestPass } from '../plan/wide-pass';
import { Admission } from './admission';
import { type Arrival, giveUpOn } from './arrival';
import { Chains } from './chains';
import { ComputeClock } from './compute-clock';
import { Constants } from './constants';
import { DeviceSide } from './device-side';
import { ExpertCache } from './expert-cache';
import { HeadPart, mostLogitRows } from './head-part';
import { HostStates } from './host-states';
import { InOrder } from './in-order';
import { carryBuffers, PassBuffers } from './pass-buffers';
import { cutPasses, type PackedRows, packRows, type Row } from './rows';
import { runExperts } from './run-experts';
import { Sequence } from './sequence';
import type { StateBlocks } from './state-blocks';
import { type PlacedWeight, Streamer, segmentName } from './streamer';
import type { Observer } from './trace';

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

export interface EngineStats {
  readonly passes: number;
  readonly rows: number;
  /** Bytes that were read, and those of them that the page cache held. */
  readonly bytesRead: number;
  readonly bytesCached: number;
  /** Of keys and values that are kept on disk; not part of `bytesRead`. */
  readonly stateBytesRead: number;
  readonly stateBytesWritten: number;
  /** Milliseconds spent waiting for weights and states, and in kernels. */
  readonly waitMs: number;
  readonly computeMs: number;
}

export interface StepOptions {
  /** Ends the step between two segments; `step` rejects with its reason and no row counts as run. */
  readonly signal?: AbortSignal | undefined;
  /** Arrays of the vocabulary's size that nobody reads any more: logits are written to those, and they are taken out. */
  readonly spare?: Float32Array[] | undefined;
}

/** Segments that may be waiting for the executor or computed when the next is handed over: some milliseconds of work. */
const AHEAD = 3;

/** A block with its program, and the states' place in a sequence. */
interface Stage {
  readonly block: Block;
  readonly program: Program;
  readonly layer: number | null;
  readonly onDevice: boolean;
}

/** What stays the same for all segments of one pass. */
interface Pass {
  readonly packed: PackedRows;
  readonly buffers: PassBuffers;
  readonly signal: AbortSignal | undefined;
  readonly spare: Float32Array[] | undefined;
  /** Segments handed to the executor whose end need not be awaited before the next is. */
  readonly ahead: InOrder;
}

/**
 * Runs rows through a model whose weights stream past. It knows rows and segments; prompts, sampling and text are
 * others' business. Steps are taken one at a time, in the order they were asked for.
 */
export class Engine {
  readonly model: Model;
  readonly plan: Plan;
  readonly #observe: Observer;
  readonly #stages: readonly Stage[];
  /** The model without what a device keeps. */
  readonly #hostShare: Model;
  readonly #embedding: Program;
  readonly #constants: Constants;
  readonly #reader: Reader;
  readonly #arrival: Arrival | undefined;
  readonly #streamer: Streamer;
  readonly #deviceSide: DeviceSide | null;
  readonly #experts: ExpertCache;
  readonly #states: HostStates;
  readonly #admission: Admission;
  /** For the passes that the plan has room for. */
  readonly #buffers: PassBuffers;
  readonly #headCarry: ReadonlyMap<string, HostBuffer>;
  /** The same for rows that all want logits: they are where the layers left them. */
  readonly #headInPlace: ReadonlyMap<string, HostBuffer>;
  readonly #chains: Chains;
  readonly #clock: ComputeClock;
  #queue: Promise<unknown> = Promise.resolve();
  #broken = false;
  #disposed = false;
  #passes = 0;
  #rows = 0;

  constructor(options: EngineOptions) {
    const { model, plan, executor, reader, deviceExecutor, observe = () => {} } = options;
    const onDevice = (block: number) => plan.device?.computes[block] === true;
    if (plan.device !== null && deviceExecutor === undefined) {
      throw new OptionError({ option: 'deviceExecutor', expected: `one for ${plan.device.name}`, found: undefined });
    }
    this.#observe = observe;
    this.#clock = new ComputeClock(observe);
    this.model = model;
    this.plan = plan;
    this.#stages = [...model.layers, model.head].map((block, i) => ({
      block,
      program: (onDevice(i) ? deviceExecutor! : executor).compile(block.graph),
      layer: i < model.layers.length ? i : null,
      onDevice: onDevice(i),
    }));
    this.#hostShare = plan.device === null ? model : hostShare(model, plan.device);
    this.#embedding = executor.compile(model.embedding.graph);
    this.#constants = new Constants(model);
    this.#reader = reader;
    this.#arrival = options.arrival;
    this.#streamer = new Streamer(plan, reader, observe);
    this.#deviceSide = plan.device && new DeviceSide(deviceExecutor!, plan.device, this.#streamer);
    this.#experts = new ExpertCache(plan.expertSlots, reader);
    this.#states = new HostStates({ plan, share: this.#hostShare, layers: model.layers, observe });
    this.#admission = new Admission(plan.bytes.state);
    this.#buffers = this.#openBuffers(plan.maxRows);
    this.#headCarry = carryBuffers([model.head], plan.logitRows);
    this.#headInPlace = new Map([...this.#headCarry, ['hidden', this.#buffers.carry.get('hidden')!]]);
    this.#chains = new Chains({
      plan,
      executor,
      streamer: this.#streamer,
      link: (segment, weights) => this.#link(segment, weights),
      awaited: (segment) => choosesExperts(this.#stages[segment.block]!.block.graph, segment),
    });
  }

  /**
   * An empty sequence that may grow to `maxLength` positions, as soon as the plan's state memory has room for it beside
   * the others. Dispose it when it is done. Rejects with the signal's reason, and where states are kept on disk with
   * `StateSpaceError` and `WriteError`.
   */
  async openSequence(maxLength: number, options: StepOptions = {}): Promise<Sequence> {
    const leaveHost = await this.#admission.enter(this.#states.need(maxLength), options.signal);
    const admitted = this.#states.admit(maxLength).then(() => {
      return this.#deviceSide?.admit(this.model, maxLength, options.signal);
    });
    const leaveDevice = await admitted.catch((error: unknown) => {
      leaveHost();
      throw error;
    });
    const leave = () => {
      leaveHost();
      leaveDevice?.();
    };
    return new Sequence(this.#emptyStates(maxLength), { maxRows: this.plan.maxRows, onDispose: leave });
  }

  /**
   * A copy of a sequence that may grow to `maxLength` positions; null where there is no room for it now, or others wait
   * for it. States on a device are not copied.
   */
  forkSequence(sequence: Sequence, maxLength: number): Sequence | null {
    if (this.#deviceSide !== null) return null;
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
    const { bytesRead, bytesCached } = this.#reader.stats;
    const states = this.#states.stats;
    return {
      passes: this.#passes,
      rows: this.#rows,
      bytesRead,
      bytesCached,
      stateBytesRead: states.bytesRead,
      stateBytesWritten: states.bytesWritten,
      waitMs: this.#streamer.waitMs + this.#experts.waitMs + (this.#states.stream?.waitMs ?? 0),
      computeMs: this.#clock.milliseconds,
    };
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Starts reading weights before the first step asks for them. */
  prefetch(): void {
    if (this.#disposed) throw new DisposedError('engine');
    this.#streamer.prefetch();
  }

  /** Rows of one pass whose logits may be wanted. A step that wants more of them takes several passes. */
  get mostLogitRows(): number {
    const { model, plan } = this;
    return plan.device === null ? mostLogitRows(plan.logitRows, model.config.vocabSize) : plan.logitRows;
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
    this.#deviceSide?.close(new DisposedError('engine'));
    this.#arrival?.end(new DisposedError('engine'));
    await this.#queue;
    await this.#streamer.dispose();
    this.#deviceSide?.dispose();
    this.#experts.dispose();
    this.#chains.dispose();
    this.#buffers.dispose();
    this.#constants.dispose();
    await this.#states.dispose();
    for (const buffer of this.#headCarry.values()) buffer.dispose();
  }

  #emptyStates(maxLength: number): LayerState[][] {
    return this.#stages.flatMap(({ block, layer, onDevice }) => {
      if (layer === null) return [];
      return [
        block.graph.states.map((spec) =>
          onDevice ? this.#deviceSide!.createState(spec, maxLength) : this.#states.create(spec, layer, maxLength),
        ),
      ];
    });
  }

  async #step(rows: readonly Row[], options: StepOptions): Promise<Float32Array[]> {
    this.#checkGoOn(options.signal);
    const wide = await this.#widen(rows);
    const buffers = wide ?? this.#buffers;
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
    await this.#streamer.lend(keptPinned(plan, shape.lent));
    try {
      return this.#openBuffers(shape.rows);
    } catch (error) {
      this.#streamer.reclaim();
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
    this.#streamer.reclaim();
  }

  async #pass(rows: readonly Row[], buffers: PassBuffers, options: StepOptions): Promise<Float32Array[]> {
    const { signal, spare } = options;
    this.#checkGoOn(signal);
    const pass: Pass = { packed: packRows(rows), buffers, signal, spare, ahead: new InOrder(AHEAD) };
    this.#reserve(rows);
    const start = performance.now();
    const waitOn = giveUpOn(signal, this.#arrival);
    try {
      if (this.#broken) await this.#streamer.restart();
      this.#broken = true;
      await this.#states.stream?.begin(pass.packed.sequences);
      await this.#embed(rows, pass);
      const logits = await this.#run(rows, pass);
      await this.#states.stream?.settle();
      if (logits.length > 0) await this.#arrival?.settled(signal);
      this.#broken = false;
      this.#passes++;
      this.#rows += rows.length;
      for (const row of rows) row.sequence.advance(row.position + 1);
      this.#observe({ track: 'pass', name: `pass ${this.#passes}`, start, end: performance.now(), rows: rows.length });
      return logits;
    } catch (error) {
      // What was handed over is computed all the same, on states and buffers that are given back after this.
      await pass.ahead.settle().catch(() => {});
      await this.#deviceSide?.settle().catch(() => {});
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

  async #embed(rows: readonly Row[], pass: Pass): Promise<void> {
    const { embeddingRows, carry } = pass.buffers;
    const weights = await embeddingRows.gather(rows);
    const part = { from: 0, to: this.model.embedding.graph.ops.length };
    const computed = this.#compute('embedding', this.#embedding, { ...this.#call(pass), part, weights, states: [] });
    await pass.ahead.take(computed);
    if (rows.every(({ input }) => typeof input === 'number')) return;
    await computed;
    const hidden = carry.get('hidden')!;
    rows.forEach(({ input }, r) => {
      if (typeof input !== 'number') hidden.float32(r * input.length * 4, input.length).set(input);
    });
  }

  async #run(rows: readonly Row[], pass: Pass): Promise<Float32Array[]> {
    const head = this.#stages.length - 1;
    const { hiddenSize, vocabSize } = this.model.config;
    let routes: Int32Array | undefined;
    let entered = false;
    const parts = this.#headParts(rows, pass);
    // Where no row wants logits, the head is neither read nor run.
    const skips = (segment: Segment) => segment.block === head && parts.length === 0;
    this.#streamer.begin(skips);
    this.#deviceSide?.begin();
    try {
      const { segments } = this.plan;
      for (let s = 0; s < segments.length; s++) {
        this.#checkGoOn(pass.signal);
        const segment = segments[s]!;
        const stage = this.#stages[segment.block]!;
        if (segment.block !== head) {
          const chained = await this.#runChain(segment, pass.buffers.carry, pass);
          s += Math.max(0, chained - 1);
          if (chained > 0) continue;
          await this.#states.stream?.enter(segment);
          routes = await this.#runSegment(segment, stage, [this.#layerCall(stage, pass)], routes, pass.ahead);
          if (this.#states.stream?.endsWith(segment)) {
            await pass.ahead.settle();
            this.#states.stream.leave(segment);
          }
          continue;
        }
        if (skips(segment)) {
          await this.#streamer.skip();
          continue;
        }
        const hidden = pass.buffers.carry.get('hidden')!;
        if (!entered && !parts.every((part) => part.readsIn(hidden))) {
          await pass.ahead.settle();
          await this.#deviceSide?.leave(pass.buffers.carry, rows.length);
          for (const part of parts) part.gather(hidden, hiddenSize);
        }
        entered = true;
        const chained = await this.#runChain(segment, parts[0]!.call.carry, pass);
        s += Math.max(0, chained - 1);
        if (chained > 0) continue;
        const calls = parts.map(({ call }) => call);
        await this.#runSegment(segment, stage, calls, undefined, pass.ahead);
      }
      await pass.ahead.settle();
      if (parts.length > 0) await this.#deviceSide?.leave(this.#headCarry, parts[0]!.call.rows.count);
      return parts.flatMap((part) => {
        const logits = part.logits(vocabSize, pass.spare);
        part.dispose();
        return logits;
      });
    } finally {
      await pass.ahead.settle().catch(() => {});
      for (const part of parts) part.dispose();
    }
  }

  /** The rows that want logits, as many together as there is always room for. */
  #headParts(rows: readonly Row[], { buffers }: Pass): HeadPart[] {
    const { plan, model } = this;
    const wanting = rows.flatMap((row, r) => (row.wantsLogits ? [r] : []));
    const count = Math.ceil(wanting.length / plan.logitRows);
    const inPlace = buffers === this.#buffers && count === 1 && wanting.length === rows.length && !this.#deviceSide;
    const first = { carry: inPlace ? this.#headInPlace : this.#headCarry, workspace: buffers.workspace };
    const { program } = this.#stages.at(-1)!;
    return Array.from({ length: count }, (_, i) => {
      const some = wanting.slice(i * plan.logitRows, (i + 1) * plan.logitRows);
      if (i === 0) return new HeadPart(model.head, rows, some, plan.logitRows, first);
      return new HeadPart(model.head, rows, some, some.length, Math.max(64, program.workspaceBytes(some.length)));
    });
  }

  /** Runs the chain that begins with a segment on all rows of a pass, if there is one, and returns its length. */
  async #runChain(first: Segment, carry: PassBuffers['carry'], pass: Pass): Promise<number> {
    const fits = carry === this.#buffers.carry || carry === this.#headInPlace;
    const ready = fits ? this.#chains.from(first, pass.packed.rows.count) : undefined;
    if (ready === undefined) return 0;
    const { chain, segments } = ready;
    const states = segments.map(({ block }) => this.#statesOf(this.#stages[block]!, pass));
    const name = `${segmentName(first)} to ${segmentName(segments.at(-1)!)}`;
    const computed = this.#clock.measure(name, () => chain.run({ rows: pass.packed.rows, states }));
    for (let i = 0; i < segments.length; i++) this.#streamer.release();
    await pass.ahead.take(computed);
    return segments.length;
  }

  /** What of a segment's call stays the same from pass to pass, for passes of the plan's width. */
  #link({ block, part }: Segment, placed: readonly PlacedWeight[]): ChainLink {
    const { program, block: of, layer } = this.#stages[block]!;
    const { carry, workspace, maxRows } = this.#buffers;
    const weights = this.#byIndex(of.graph, of.weights, placed);
    const shared = { program, part, weights, workspace };
    if (layer === null) return { ...shared, carry: this.#headInPlace, maxRows: this.plan.logitRows };
    return { ...shared, carry, maxRows };
  }

  /** Runs one segment in each call, and returns the experts chosen if it ends at a router. */
  async #runSegment(
    segment: Segment,
    stage: Stage,
    calls: readonly Omit<RunCall, 'part' | 'weights'>[],
    routes: Int32Array | undefined,
    ahead: InOrder,
  ): Promise<Int32Array | undefined> {
    // Only the head is run in several, and not on a device.
    const call = calls[0]!;
    await this.#changeSides(stage, call, ahead);
    if (segment.experts !== undefined) {
      const graph = expertGraph(stage.block.graph, segment);
      const tensors = stage.block.experts.get(segment.part.from)!;
      await runExperts(this.#experts, segment, routes!, (part, weights) => {
        const indexed = this.#byIndex(graph, tensors[part.expert!.id]!, weights);
        return this.#compute(segmentName(segment), stage.program, { ...call, part, weights: indexed });
      });
      return undefined;
    }
    const { graph, weights: tensors } = stage.block;
    if (stage.onDevice) {
      return this.#deviceSide!.run({
        segment,
        program: stage.program,
        call,
        indexed: (placed) => this.#byIndex(graph, tensors, placed),
        compute: (run) => this.#compute(segmentName(segment), stage.program, run),
        awaited: choosesExperts(graph, segment),
      });
    }
    const weights = await this.#streamer.acquire(segment);
    const placed = { part: segment.part, weights: this.#byIndex(graph, tensors, weights) };
    const computed = calls.map((call) => this.#compute(segmentName(segment), stage.program, { ...call, ...placed }));
    for (const each of computed) await ahead.take(each);
    // Weights that stay where they are need not be waited for: the executor computes calls in order, and goes on to the
    // next without a pause if it has it by then.
    const goOn = this.#streamer.resident(segment) !== undefined && !choosesExperts(graph, segment);
    const chosen = goOn ? [] : await Promise.all(computed);
    this.#streamer.release();
    return chosen[0];
  }

  /** Brings values to where the next segment is computed. */
  async #changeSides(stage: Stage, { carry, rows }: Pick<RunCall, 'carry' | 'rows'>, ahead: InOrder): Promise<void> {
    if (this.#deviceSide === null) return;
    if (!stage.onDevice) return this.#deviceSide.leave(carry, rows.count);
    await ahead.settle();
    this.#deviceSide.enter(carry);
  }

  async #compute(name: string, program: Program, call: RunCall): Promise<Int32Array | undefined> {
    const { routes } = await this.#clock.measure(name, () => program.run(call));
    return routes;
  }

  #call({ packed, buffers }: Pass): Pick<RunCall, 'rows' | 'carry' | 'workspace' | 'maxRows'> {
    const { carry, workspace, maxRows } = buffers;
    return { rows: packed.rows, carry, workspace, maxRows };
  }

  #layerCall(stage: Stage, pass: Pass): Omit<RunCall, 'part' | 'weights'> {
    return { ...this.#call(pass), states: this.#statesOf(stage, pass) };
  }

  #statesOf({ block, layer }: Stage, { packed }: Pass): RunCall['states'] {
    return block.graph.states.map((_, s) => packed.sequences.map(({ states }) => this.#hostState(states[layer!]![s]!)));
  }

  /** States on disk are computed with where their layer's turn has brought them. */
  #hostState(state: LayerState): LayerState {
    return this.#states.stream?.host(state) ?? state;
  }

  /** Weights by their index in the graph; the part at hand uses no others. */
  #byIndex(
    graph: Graph,
    tensors: readonly MetaTensor[],
    weights: readonly PlacedWeight[],
  ): (WeightBytes | undefined)[] {
    const sparse: (WeightBytes | undefined)[] = graph.weights.map(() => undefined);
    for (const placed of weights) sparse[placed.weight] = placed;
    this.#constants.fill(graph, tensors, sparse);
    return sparse;
  }

  #openBuffers(maxRows: number): PassBuffers {
    const { model, plan } = this;
    const layers = this.#stages.filter(({ layer }) => layer !== null).map(({ program }) => program);
    const head = this.#stages.at(-1)!.program;
    return new PassBuffers({
      model,
      reader: this.#reader,
      constants: this.#constants,
      programs: [this.#embedding, ...layers],
      leastWorkspace: Math.max(64, head.workspaceBytes(plan.logitRows)),
      maxRows,
    });
  }
}

function choosesExperts(graph: Graph, { part }: Segment): boolean {
  return graph.ops[part.to - 1]?.op === 'route';
}

/** The graph whose weights an expert part needs: one expert's. */
function expertGraph(graph: Graph, segment: Segment): Graph {
  const op = graph.ops[segment.part.from];
  if (op?.op !== 'expert') throw new Error(`segment ${segment.index} is not one of experts`);
  return op.graph;
}
