import type { Block, ChainLink, Executor, Graph, LayerState, Program, RunCall, WeightBytes } from '@airllm/kernels';
import { type HostBuffer, type MetaTensor, OptionError, type Reader } from '@airllm/loader';
import type { Model } from '../models/model';
import type { Plan, Segment } from '../plan/types';
import { Chains } from './chains';
import { ComputeClock } from './compute-clock';
import { Constants } from './constants';
import { DeviceSide } from './device-side';
import { ExpertCache } from './expert-cache';
import { HeadPart } from './head-part';
import type { HostStates } from './host-states';
import type { InOrder } from './in-order';
import { carryBuffers, PassBuffers } from './pass-buffers';
import type { PlacedWeight } from './read-weights';
import type { PackedRows, Row } from './rows';
import { runExperts } from './run-experts';
import { Streamer, segmentName } from './streamer';
import type { Observer } from './trace';

export interface PassRunnerOptions {
  readonly model: Model;
  readonly plan: Plan;
  readonly executor: Executor;
  readonly deviceExecutor?: Executor | undefined;
  readonly reader: Reader;
  readonly states: HostStates;
  readonly observe: Observer;
}

/** Segments that may be waiting for the executor or computed when the next is handed over: some milliseconds of work. */
export const AHEAD = 3;

/** A block with its program, and the states' place in a sequence. */
interface Stage {
  readonly block: Block;
  readonly program: Program;
  readonly layer: number | null;
  readonly onDevice: boolean;
}

/** What stays the same for all segments of one pass. */
export interface Pass {
  readonly rows: readonly Row[];
  readonly packed: PackedRows;
  readonly buffers: PassBuffers;
  /** Asked between segments; throws where the pass is to end. */
  readonly goesOn: () => void;
  readonly spare: Float32Array[] | undefined;
  /** Segments handed to the executor whose end need not be awaited before the next is. */
  readonly ahead: InOrder;
}

/**
 * Runs one pass after the other over the segments of a plan: brings their weights, hands them to who computes them, and
 * keeps what belongs to that. What rows are run, and when, is the engine's business.
 */
export class PassRunner {
  readonly streamer: Streamer;
  /** What a device computes; null where the host computes all. */
  readonly device: DeviceSide | null;
  /** For the passes that the plan has room for. */
  readonly buffers: PassBuffers;
  readonly #model: Model;
  readonly #plan: Plan;
  readonly #reader: Reader;
  readonly #states: HostStates;
  readonly #stages: readonly Stage[];
  readonly #embedding: Program;
  readonly #constants: Constants;
  readonly #experts: ExpertCache;
  readonly #headCarry: ReadonlyMap<string, HostBuffer>;
  /** The same for rows that all want logits: they are where the layers left them. */
  readonly #headInPlace: ReadonlyMap<string, HostBuffer>;
  readonly #chains: Chains;
  readonly #clock: ComputeClock;

  constructor({ model, plan, executor, deviceExecutor, reader, states, observe }: PassRunnerOptions) {
    const onDevice = (block: number) => plan.device?.computes[block] === true;
    if (plan.device !== null && deviceExecutor === undefined) {
      throw new OptionError({ option: 'deviceExecutor', expected: `one for ${plan.device.name}`, found: undefined });
    }
    this.#model = model;
    this.#plan = plan;
    this.#reader = reader;
    this.#states = states;
    this.#clock = new ComputeClock(observe);
    this.#stages = [...model.layers, model.head].map((block, i) => ({
      block,
      program: (onDevice(i) ? deviceExecutor! : executor).compile(block.graph),
      layer: i < model.layers.length ? i : null,
      onDevice: onDevice(i),
    }));
    this.#embedding = executor.compile(model.embedding.graph);
    this.#constants = new Constants(model);
    this.streamer = new Streamer(plan, reader, observe);
    this.device = plan.device && new DeviceSide(deviceExecutor!, plan.device, this.streamer);
    this.#experts = new ExpertCache(plan.expertSlots, reader);
    this.buffers = this.openBuffers(plan.maxRows);
    this.#headCarry = carryBuffers([model.head], plan.logitRows);
    this.#headInPlace = new Map([...this.#headCarry, ['hidden', this.buffers.carry.get('hidden')!]]);
    this.#chains = new Chains({
      plan,
      executor,
      streamer: this.streamer,
      link: (segment, weights) => this.#link(segment, weights),
      awaited: (segment) => choosesExperts(this.#stages[segment.block]!.block.graph, segment),
    });
  }

  /** Milliseconds spent waiting for weights. */
  get waitMs(): number {
    return this.streamer.waitMs + this.#experts.waitMs;
  }

  /** Milliseconds spent in kernels. */
  get computeMs(): number {
    return this.#clock.milliseconds;
  }

  /** Embeds a pass's rows, runs all segments on them, and returns the logits of those that want them, in order. */
  async run(pass: Pass): Promise<Float32Array[]> {
    await this.#embed(pass);
    return this.#run(pass);
  }

  /** Waits for what a pass that broke off has handed over: it is computed all the same. */
  async settle(pass: Pass): Promise<void> {
    await pass.ahead.settle().catch(() => {});
    await this.device?.abandon();
  }

  /** Memory of passes of up to `maxRows` rows; the caller's to dispose. */
  openBuffers(maxRows: number): PassBuffers {
    const model = this.#model;
    const layers = this.#stages.filter(({ layer }) => layer !== null).map(({ program }) => program);
    const head = this.#stages.at(-1)!.program;
    return new PassBuffers({
      model,
      reader: this.#reader,
      constants: this.#constants,
      programs: [this.#embedding, ...layers],
      leastWorkspace: Math.max(64, head.workspaceBytes(this.#plan.logitRows)),
      maxRows,
    });
  }

  async dispose(): Promise<void> {
    await this.streamer.dispose();
    this.device?.dispose();
    this.#experts.dispose();
    this.#chains.dispose();
    this.buffers.dispose();
    this.#constants.dispose();
    for (const buffer of this.#headCarry.values()) buffer.dispose();
  }

  async #embed(pass: Pass): Promise<void> {
    const { rows } = pass;
    const { embeddingRows, carry } = pass.buffers;
    const weights = await embeddingRows.gather(rows);
    const part = { from: 0, to: this.#model.embedding.graph.ops.length };
    const computed = this.#compute('embedding', this.#embedding, { ...this.#call(pass), part, weights, states: [] });
    await pass.ahead.take(computed);
    if (rows.every(({ input }) => typeof input === 'number')) return;
    await computed;
    const hidden = carry.get('hidden')!;
    rows.forEach(({ input }, r) => {
      if (typeof input !== 'number') hidden.float32(r * input.length * 4, input.length).set(input);
    });
  }

  async #run(pass: Pass): Promise<Float32Array[]> {
    const { rows } = pass;
    const head = this.#stages.length - 1;
    const { hiddenSize, vocabSize } = this.#model.config;
    let routes: Int32Array | undefined;
    let entered = false;
    const parts = this.#headParts(pass);
    // Where no row wants logits, the head is neither read nor run.
    const skips = (segment: Segment) => segment.block === head && parts.length === 0;
    this.streamer.begin(skips);
    this.device?.begin();
    try {
      const { segments } = this.#plan;
      for (let s = 0; s < segments.length; s++) {
        pass.goesOn();
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
          await this.streamer.skip();
          continue;
        }
        const hidden = pass.buffers.carry.get('hidden')!;
        if (!entered && !parts.every((part) => part.readsIn(hidden))) {
          await pass.ahead.settle();
          await this.device?.leave(pass.buffers.carry, rows.length);
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
      // Without logits to wait for, its last segments may still be computing with values that the next pass replaces.
      await this.device?.settle();
      if (parts.length > 0) await this.device?.leave(this.#headCarry, parts[0]!.call.rows.count);
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
  #headParts({ rows, buffers }: Pass): HeadPart[] {
    const plan = this.#plan;
    const { head } = this.#model;
    const wanting = rows.flatMap((row, r) => (row.wantsLogits ? [r] : []));
    const count = Math.ceil(wanting.length / plan.logitRows);
    const inPlace = buffers === this.buffers && count === 1 && wanting.length === rows.length && !this.device;
    const first = { carry: inPlace ? this.#headInPlace : this.#headCarry, workspace: buffers.workspace };
    const { program } = this.#stages.at(-1)!;
    return Array.from({ length: count }, (_, i) => {
      const some = wanting.slice(i * plan.logitRows, (i + 1) * plan.logitRows);
      if (i === 0) return new HeadPart(head, rows, some, plan.logitRows, first);
      return new HeadPart(head, rows, some, some.length, Math.max(64, program.workspaceBytes(some.length)));
    });
  }

  /** Runs the chain that begins with a segment on all rows of a pass, if there is one, and returns its length. */
  async #runChain(first: Segment, carry: PassBuffers['carry'], pass: Pass): Promise<number> {
    const fits = carry === this.buffers.carry || carry === this.#headInPlace;
    const ready = fits ? this.#chains.from(first, pass.packed.rows.count) : undefined;
    if (ready === undefined) return 0;
    const { chain, segments } = ready;
    const states = segments.map(({ block }) => this.#statesOf(this.#stages[block]!, pass));
    const name = `${segmentName(first)} to ${segmentName(segments.at(-1)!)}`;
    const computed = this.#clock.measure(name, () => chain.run({ rows: pass.packed.rows, states }));
    for (let i = 0; i < segments.length; i++) this.streamer.release();
    await pass.ahead.take(computed);
    return segments.length;
  }

  /** What of a segment's call stays the same from pass to pass, for passes of the plan's width. */
  #link({ block, part }: Segment, placed: readonly PlacedWeight[]): ChainLink {
    const { program, block: of, layer } = this.#stages[block]!;
    const { carry, workspace, maxRows } = this.buffers;
    const weights = this.#byIndex(of.graph, of.weights, placed);
    const shared = { program, part, weights, workspace };
    if (layer === null) return { ...shared, carry: this.#headInPlace, maxRows: this.#plan.logitRows };
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
      return this.device!.run({
        segment,
        program: stage.program,
        call,
        indexed: (placed) => this.#byIndex(graph, tensors, placed),
        compute: (run) => this.#compute(segmentName(segment), stage.program, run),
        awaited: choosesExperts(graph, segment),
      });
    }
    const weights = await this.streamer.acquire(segment);
    const placed = { part: segment.part, weights: this.#byIndex(graph, tensors, weights) };
    const computed = calls.map((call) => this.#compute(segmentName(segment), stage.program, { ...call, ...placed }));
    for (const each of computed) await ahead.take(each);
    // Weights that stay where they are need not be waited for: the executor computes calls in order, and goes on to the
    // next without a pause if it has it by then.
    const goOn = this.streamer.resident(segment) !== undefined && !choosesExperts(graph, segment);
    const chosen = goOn ? [] : await Promise.all(computed);
    this.streamer.release();
    return chosen[0];
  }

  /** Brings values to where the next segment is computed. */
  async #changeSides(stage: Stage, { carry, rows }: Pick<RunCall, 'carry' | 'rows'>, ahead: InOrder): Promise<void> {
    if (this.device === null) return;
    if (!stage.onDevice) return this.device.leave(carry, rows.count);
    await ahead.settle();
    this.device.enter(carry);
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
