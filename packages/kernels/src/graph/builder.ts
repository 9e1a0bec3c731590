import type { MetaTensor } from '@airllm/loader';
import { GraphError } from '../errors';
import type { RopeSpec } from '../rope/spec';
import type {
  AttentionOptions,
  EmbedOptions,
  GatedOptions,
  GraphBuilderOptions,
  LinearOptions,
  Value,
  WeightSource,
} from './builder-options';
import { checkCarries, checkExpertGraph, checkRope, isWidth } from './checks';
import type { Block, Graph, KvCacheDType, StateSpec, ValueSpec } from './graph';
import type { ActivationName, Op, ValueId } from './ops';
import { RecordedWeights } from './recorded-weights';

/** How experts are chosen and what one of them computes: see {@link GraphBuilder.experts}. */
export interface ExpertsOptions {
  readonly count: number;
  readonly topK: number;
  /** @defaultValue 'softmax' */
  readonly score?: 'softmax' | 'sigmoid';
  /** Divide the chosen experts' scores by their sum. */
  readonly normalise: boolean;
  /** @defaultValue 1 */
  readonly scale?: number;
  /** Records one expert on its own builder, from x to its output; called once per expert with its tensor prefix. */
  readonly expert: (b: GraphBuilder, x: Value, prefix: string) => Value;
  /** Tensor prefix of expert e. */
  readonly prefix: (e: number) => string;
}

/**
 * Records a forward pass over tensors that are still on disk. Methods read like the modules of transformers; shapes are
 * checked as they are recorded. One builder makes one block.
 */
export class GraphBuilder {
  readonly #source: WeightSource;
  readonly #kvCacheDtype: KvCacheDType;
  readonly #ops: Op[] = [];
  readonly #values: ValueSpec[] = [];
  readonly #weights: RecordedWeights;
  readonly #states: StateSpec[] = [];
  readonly #ropes: RopeSpec[] = [];
  readonly #inputs = new Map<string, ValueId>();
  readonly #outputs = new Map<string, ValueId>();
  readonly #experts = new Map<number, MetaTensor[][]>();
  readonly #recorded = new WeakSet<Value>();

  constructor(source: WeightSource, options: GraphBuilderOptions = {}) {
    this.#source = source;
    this.#weights = new RecordedWeights(source);
    this.#kvCacheDtype = options.kvCacheDtype ?? 'float32';
  }

  /** A value carried in from the block before, by name. */
  input(name: string, width: number): Value {
    if (this.#inputs.has(name)) throw new GraphError('input', `${name} is there already`);
    const value = this.#value('input', width);
    this.#inputs.set(name, value.id);
    return value;
  }

  /** Carries a value out to the blocks after, by name. */
  output(name: string, value: Value): void {
    this.#own('output', value);
    if (this.#outputs.has(name)) throw new GraphError('output', `${name} is there already`);
    this.#outputs.set(name, value.id);
  }

  /** Rows of `[count, width]` picked by each row's token or position (plus `shift`), times `scale`. */
  embed(name: string, count: number, width: number, options: EmbedOptions = {}): Value {
    const weight = this.#weights.add(`${name}.weight`, [count, width], 'rows');
    const { by = 'token', shift = 0, scale = 1 } = options;
    return this.#push(width, [], (out) => ({ op: 'embed', weight, by, shift, scale, out }));
  }

  /** x / sqrt(mean(x²) + eps) · (`name.weight` + weightOffset), over groups of `groupWidth` columns (default: the row). */
  rmsNorm(x: Value, name: string | null, options: { eps: number; groupWidth?: number; weightOffset?: number }): Value {
    const groupWidth = options.groupWidth ?? x.width;
    this.#groups('rmsNorm', x, groupWidth);
    const weight = name === null ? undefined : this.#weights.add(`${name}.weight`, [groupWidth], 'vector');
    return this.#push(x.width, [x], (out) => ({
      op: 'rmsNorm',
      x: x.id,
      ...(weight === undefined ? {} : { weight }),
      eps: options.eps,
      groupWidth,
      weightOffset: options.weightOffset ?? 0,
      out,
    }));
  }

  /** (x − mean) / sqrt(var + eps) · `name.weight` + `name.bias`, over groups of `groupWidth` columns (default: the row). */
  layerNorm(x: Value, name: string | null, options: { eps: number; bias?: boolean; groupWidth?: number }): Value {
    const groupWidth = options.groupWidth ?? x.width;
    this.#groups('layerNorm', x, groupWidth);
    const weight = name === null ? undefined : this.#weights.add(`${name}.weight`, [groupWidth], 'vector');
    const bias =
      name === null || options.bias === false ? undefined : this.#weights.add(`${name}.bias`, [groupWidth], 'vector');
    return this.#push(x.width, [x], (out) => ({
      op: 'layerNorm',
      x: x.id,
      ...(weight === undefined ? {} : { weight }),
      ...(bias === undefined ? {} : { bias }),
      eps: options.eps,
      groupWidth,
      out,
    }));
  }

  /** `name.weight` applied to x, with `name.bias` where `bias` is set. */
  linear(x: Value, name: string, width: number, options: LinearOptions = {}): Value {
    const layout = options.layout ?? 'out,in';
    const shape = layout === 'out,in' ? [width, x.width] : [x.width, width];
    const weight = this.#weights.add(`${name}.weight`, shape, layout, options.parts);
    const bias = options.bias ? this.#weights.add(`${name}.bias`, [width], 'vector') : undefined;
    return this.#push(width, [x], (out) => ({
      op: 'linear',
      x: x.id,
      weight,
      ...(bias === undefined ? {} : { bias }),
      out,
    }));
  }

  /** Rotary position embedding of the first `spec.dim` columns of every head: see `RopeOp` for the pairings. */
  rope(x: Value, spec: RopeSpec, options: { headDim: number; pairing?: 'half' | 'interleaved' }): Value {
    this.#groups('rope', x, options.headDim);
    checkRope(spec, options.headDim);
    const json = JSON.stringify(spec);
    let rope = this.#ropes.findIndex((other) => JSON.stringify(other) === json);
    if (rope < 0) rope = this.#ropes.push(spec) - 1;
    return this.#push(x.width, [x], (out) => ({
      op: 'rope',
      x: x.id,
      rope,
      headDim: options.headDim,
      pairing: options.pairing ?? 'half',
      out,
    }));
  }

  /** Appends k and v to a state of this block and attends with q. */
  attention(q: Value, k: Value, v: Value, options: AttentionOptions): Value {
    const { heads, kvHeads, headDim } = options;
    const valueDim = options.valueDim ?? headDim;
    this.#width('attention', 'q', q, heads * headDim);
    this.#width('attention', 'k', k, kvHeads * headDim);
    this.#width('attention', 'v', v, kvHeads * valueDim);
    const { window } = options;
    if (window !== undefined && !isWidth(window)) throw new GraphError('attention', `a window of ${window} positions`);
    if (heads % kvHeads !== 0) throw new GraphError('attention', `${heads} heads cannot share ${kvHeads} key heads`);
    const windowed = window === undefined ? {} : { window };
    const dtype = this.#kvCacheDtype;
    const state = this.#states.push({ kind: 'kv', kvHeads, keyDim: headDim, valueDim, dtype, ...windowed }) - 1;
    const sinks = options.sinks === undefined ? undefined : this.#weights.add(options.sinks, [heads], 'vector');
    return this.#push(heads * valueDim, [q, k, v], (out) => ({
      op: 'attention',
      q: q.id,
      k: k.id,
      v: v.id,
      state,
      heads,
      scale: options.scale ?? headDim ** -0.5,
      ...(options.softcap === undefined ? {} : { softcap: options.softcap }),
      ...windowed,
      ...(sinks === undefined ? {} : { sinks }),
      out,
    }));
  }

  /** kind(x), element by element: see `ActivationName`. */
  activation(x: Value, kind: ActivationName): Value {
    return this.#push(x.width, [x], (out) => ({ op: 'activation', kind, x: x.id, out }));
  }

  /** act(gate) · up, clamped and shifted where the options say so. */
  gated(gate: Value, up: Value, kind: ActivationName, options: GatedOptions = {}): Value {
    this.#width('gated', 'up', up, gate.width);
    const { limit, shift } = options;
    if (limit !== undefined && !(limit > 0)) throw new GraphError('gated', `a limit of ${limit}`);
    return this.#push(gate.width, [gate, up], (out) => ({
      op: 'gated',
      kind,
      gate: gate.id,
      up: up.id,
      ...(limit === undefined ? {} : { limit }),
      ...(shift === undefined ? {} : { shift }),
      out,
    }));
  }

  /** a + b */
  add(a: Value, b: Value): Value {
    this.#width('add', 'b', b, a.width);
    return this.#push(a.width, [a, b], (out) => ({ op: 'add', a: a.id, b: b.id, out }));
  }

  /** a · b, element by element */
  mul(a: Value, b: Value): Value {
    this.#width('mul', 'b', b, a.width);
    return this.#push(a.width, [a, b], (out) => ({ op: 'mul', a: a.id, b: b.id, out }));
  }

  /** x · by */
  scale(x: Value, by: number): Value {
    return this.#push(x.width, [x], (out) => ({ op: 'scale', x: x.id, by, out }));
  }

  /** cap · tanh(x / cap) */
  softcap(x: Value, cap: number): Value {
    return this.#push(x.width, [x], (out) => ({ op: 'softcap', x: x.id, cap, out }));
  }

  /** Cuts a fused projection into values of the given widths, in order. */
  split(x: Value, widths: readonly number[]): Value[] {
    const total = widths.reduce((sum, width) => sum + width, 0);
    if (total !== x.width) throw new GraphError('split', `parts of ${widths.join(' + ')} do not make ${x.width}`);
    let from = 0;
    return widths.map((width) => {
      const at = from;
      from += width;
      return this.#push(width, [x], (out) => ({ op: 'slice', x: x.id, from: at, out }));
    });
  }

  /** Takes apart a fused projection whose columns alternate: value i has columns i, i + count, i + 2 · count, … */
  deinterleave(x: Value, count: number): Value[] {
    if (!isWidth(count) || x.width % count !== 0) throw new GraphError('slice', `${x.width} columns in ${count} parts`);
    return Array.from({ length: count }, (_, from) =>
      this.#push(x.width / count, [x], (out) => ({ op: 'slice', x: x.id, from, step: count, out })),
    );
  }

  /** Routed experts: chooses by `logits`, runs the chosen ones on x and adds their weighted outputs in router order. */
  experts(x: Value, logits: Value, options: ExpertsOptions): Value {
    const { count, topK } = options;
    this.#width('experts', 'logits', logits, count);
    if (!isWidth(topK) || topK > count) throw new GraphError('experts', `cannot choose ${topK} of ${count} experts`);
    this.#own('experts', x);
    this.#own('experts', logits);
    const ids = this.#value('experts', topK, 'i32');
    const weights = this.#value('experts', topK);
    this.#ops.push({
      op: 'route',
      logits: logits.id,
      topK,
      score: options.score ?? 'softmax',
      normalise: options.normalise,
      scale: options.scale ?? 1,
      ids: ids.id,
      weights: weights.id,
    });
    const blocks = Array.from({ length: count }, (_, e) => this.#expert(options, e, x.width));
    const graph = blocks[0]!.graph;
    const odd = blocks.findIndex((block) => block.graph.key !== graph.key);
    if (odd > 0) {
      throw new GraphError('experts', `expert ${options.prefix(odd)} differs in shape or dtype from the first`);
    }
    checkExpertGraph(graph);
    const width = graph.values[graph.outputs.get('y')!]!.width;
    const slots = this.#value('experts', topK * width);
    this.#experts.set(
      this.#ops.length,
      blocks.map((block) => [...block.weights]),
    );
    this.#ops.push({ op: 'expert', x: x.id, ids: ids.id, topK, expertCount: count, graph, slots: slots.id });
    return this.#push(width, [slots, weights], (out) => ({
      op: 'combine',
      slots: slots.id,
      weights: weights.id,
      topK,
      out,
    }));
  }

  /** Ends recording. */
  build(name: string): Block {
    checkCarries(this.#inputs, this.#outputs);
    const parts = {
      ops: this.#ops,
      values: this.#values,
      weights: this.#weights.specs,
      states: this.#states,
      ropes: this.#ropes,
    };
    const key = JSON.stringify([parts, [...this.#inputs], [...this.#outputs]], (property, value) =>
      // A sub-graph is told by its own key; its maps do not survive JSON.
      property === 'graph' ? (value as Graph).key : value,
    );
    const graph: Graph = { ...parts, inputs: this.#inputs, outputs: this.#outputs, key };
    return { name, graph, weights: this.#weights.tensors, experts: this.#experts };
  }

  #expert(options: ExpertsOptions, e: number, width: number): Block {
    const prefix = options.prefix(e);
    const b = new GraphBuilder(this.#source);
    b.output('y', options.expert(b, b.input('x', width), prefix));
    return b.build(prefix);
  }

  #value(op: string, width: number, type: ValueSpec['type'] = 'f32'): Value {
    if (!isWidth(width)) throw new GraphError(op, `a value cannot be ${width} wide`);
    const value: Value = { id: this.#values.push({ width, type }) - 1, width };
    this.#recorded.add(value);
    return value;
  }

  /** Records an op that reads `uses` and writes one new value of `width`. */
  #push(width: number, uses: readonly Value[], make: (out: ValueId) => Op): Value {
    const op = make(this.#values.length);
    for (const value of uses) this.#own(op.op, value);
    const value = this.#value(op.op, width);
    this.#ops.push(op);
    return value;
  }

  #own(op: string, value: Value): void {
    if (!this.#recorded.has(value)) throw new GraphError(op, 'a value of another builder cannot be used here');
  }

  #width(op: string, what: string, value: Value, expected: number): void {
    if (value.width !== expected) {
      throw new GraphError(op, `${what} has width ${value.width}, expected ${expected}`);
    }
  }

  #groups(op: string, x: Value, groupWidth: number): void {
    if (x.width % groupWidth !== 0) {
      throw new GraphError(op, `width ${x.width} is not a multiple of the group width ${groupWidth}`);
    }
  }
}
