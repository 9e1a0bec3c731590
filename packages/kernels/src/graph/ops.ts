import type { RopeSpec } from '../rope/spec';
import type { StateSpec, ValueSpec, WeightSpec } from './specs';

/**
 * The closed set of operations a graph is made of. Activations are float32 `[rows, width]`; an op never looks at
 * another row except through a state (attention). Every op can be lowered to plain ONNX operators.
 */

/** Index of a value in `Graph.values`. */
export type ValueId = number;
/** Index of a weight in `Graph.weights`. */
export type WeightId = number;

/**
 * Elementwise functions, named and defined as in transformers' `ACT2FN`:
 * `gelu` uses erf, `gelu_tanh` is `gelu_pytorch_tanh` and `gelu_new`, `gelu_quick` is x·σ(1.702x), `relu2` is relu(x)².
 */
export type ActivationName = 'silu' | 'gelu' | 'gelu_tanh' | 'gelu_quick' | 'relu' | 'relu2' | 'sigmoid' | 'tanh';

/** Decodes row r of a `rows` weight (already gathered: one weight row per pass row) to float32, times `scale`. */
export interface EmbedOp {
  readonly op: 'embed';
  readonly weight: WeightId;
  /** Which of the row's numbers picks the weight row; `shift` is added to it. Whoever gathers the rows needs to know. */
  readonly by: 'token' | 'position';
  readonly shift: number;
  readonly scale: number;
  readonly out: ValueId;
}

/** y = x / sqrt(mean(x²) + eps) · (w + weightOffset), over each group of `groupWidth` columns (a head, or the row). */
export interface RmsNormOp {
  readonly op: 'rmsNorm';
  readonly x: ValueId;
  /** `[groupWidth]`; absent: no scale. */
  readonly weight?: WeightId;
  readonly eps: number;
  readonly groupWidth: number;
  /** 1 for families that store w − 1 (Gemma), else 0. */
  readonly weightOffset: number;
  readonly out: ValueId;
}

/** y = (x − mean) / sqrt(var + eps) · w + b over each group of `groupWidth` columns; var is the biased one. */
export interface LayerNormOp {
  readonly op: 'layerNorm';
  readonly x: ValueId;
  readonly weight?: WeightId;
  readonly bias?: WeightId;
  readonly eps: number;
  readonly groupWidth: number;
  readonly out: ValueId;
}

/** y = x·Wᵀ + b for layout `out,in`, y = x·W + b for `in,out`. The only op a `Part` may slice. */
export interface LinearOp {
  readonly op: 'linear';
  readonly x: ValueId;
  readonly weight: WeightId;
  /** `[out]`, added last. */
  readonly bias?: WeightId;
  readonly out: ValueId;
}

/**
 * Rotates the first `rotaryDim` columns of every head by the row's angles (table `rope` of the graph), leaving the rest.
 * `half` pairs column i with i + rotaryDim/2 (Llama, NeoX), `interleaved` pairs 2i with 2i + 1 (GPT-J, GLM).
 */
export interface RopeOp {
  readonly op: 'rope';
  readonly x: ValueId;
  /** Index in `Graph.ropes`; its `dim` is the rotary width. */
  readonly rope: number;
  readonly headDim: number;
  readonly pairing: 'half' | 'interleaved';
  readonly out: ValueId;
}

/**
 * Stores the rows' keys and values at their positions in the state, then attends: row r at position p sees positions
 * from max(visibleFrom, p − window + 1) to p. Query head h uses key head floor(h · kvHeads / heads).
 * Scores are q·k · scale, capped by softcap · tanh(s / softcap) where given.
 */
export interface AttentionOp {
  readonly op: 'attention';
  /** `[rows, heads · keyDim]` */
  readonly q: ValueId;
  /** `[rows, kvHeads · keyDim]` */
  readonly k: ValueId;
  /** `[rows, kvHeads · valueDim]` */
  readonly v: ValueId;
  /** Index in `Graph.states`, of kind `kv`. */
  readonly state: number;
  readonly heads: number;
  readonly scale: number;
  readonly softcap?: number;
  readonly window?: number;
  /** `[heads]`: one more logit per head in the softmax, which takes part in the sum and has no value. */
  readonly sinks?: WeightId;
  /** `[rows, heads · valueDim]` */
  readonly out: ValueId;
}

/** y = kind(x), element by element. */
export interface ActivationOp {
  readonly op: 'activation';
  readonly kind: ActivationName;
  readonly x: ValueId;
  readonly out: ValueId;
}

/**
 * y = act(gate) · (up + shift), the gated MLP's middle; with a `limit`, act(min(gate, limit)) · (min(max(up, −limit),
 * limit) + shift).
 */
export interface GatedOp {
  readonly op: 'gated';
  readonly kind: ActivationName;
  readonly gate: ValueId;
  readonly up: ValueId;
  readonly limit?: number;
  readonly shift?: number;
  readonly out: ValueId;
}

/** y = a + b or a · b, element by element. */
export interface BinaryOp {
  readonly op: 'add' | 'mul';
  readonly a: ValueId;
  readonly b: ValueId;
  readonly out: ValueId;
}

/** y = x · by */
export interface ScaleOp {
  readonly op: 'scale';
  readonly x: ValueId;
  readonly by: number;
  readonly out: ValueId;
}

/** y = cap · tanh(x / cap) */
export interface SoftcapOp {
  readonly op: 'softcap';
  readonly x: ValueId;
  readonly cap: number;
  readonly out: ValueId;
}

/** Columns from, from + step, from + 2 · step, … of every row, as many as `out` is wide. */
export interface SliceOp {
  readonly op: 'slice';
  readonly x: ValueId;
  readonly from: number;
  /** @defaultValue 1 */
  readonly step?: number;
  readonly out: ValueId;
}

/**
 * Top-k routing: scores = softmax or sigmoid over all experts' logits; the k largest (ties to the lower id), largest
 * first; weights are their scores, divided by their sum where `normalise`, times `scale`. Both scores grow with the
 * logit, so the choice is made by logit: no rounding of exp can change it. A part must end here: the streamer fetches
 * the experts that were chosen.
 */
export interface RouteOp {
  readonly op: 'route';
  readonly logits: ValueId;
  readonly topK: number;
  readonly score: 'softmax' | 'sigmoid';
  readonly normalise: boolean;
  readonly scale: number;
  /** int32 `[rows, topK]` */
  readonly ids: ValueId;
  /** float32 `[rows, topK]` */
  readonly weights: ValueId;
}

/**
 * Runs ONE expert (named by the part) on the rows that chose it and puts its output into their slots:
 * slots[r, j·width …] = expert(x[r]) where ids[r, j] is the expert. The sub-graph has the input `x` and the output `y`.
 */
export interface ExpertOp {
  readonly op: 'expert';
  readonly x: ValueId;
  readonly ids: ValueId;
  readonly topK: number;
  readonly expertCount: number;
  readonly graph: Graph;
  /** `[rows, topK · width]` */
  readonly slots: ValueId;
}

/** y[r] = Σ_j weights[r, j] · slots[r, j], added in router order (j = 0 first). */
export interface CombineOp {
  readonly op: 'combine';
  readonly slots: ValueId;
  readonly weights: ValueId;
  readonly topK: number;
  readonly out: ValueId;
}

/** Everything an executor can be asked to compute. */
export type Op =
  | EmbedOp
  | RmsNormOp
  | LayerNormOp
  | LinearOp
  | RopeOp
  | AttentionOp
  | ActivationOp
  | GatedOp
  | BinaryOp
  | ScaleOp
  | SoftcapOp
  | SliceOp
  | RouteOp
  | ExpertOp
  | CombineOp;

/** The names of the ops. */
export type OpName = Op['op'];

/** A recorded run of ops without names or bytes: layers of one kind share it, and so share one compiled program. */
export interface Graph {
  readonly ops: readonly Op[];
  readonly values: readonly ValueSpec[];
  readonly weights: readonly WeightSpec[];
  readonly states: readonly StateSpec[];
  readonly ropes: readonly RopeSpec[];
  readonly inputs: ReadonlyMap<string, ValueId>;
  readonly outputs: ReadonlyMap<string, ValueId>;
  /** Equal for graphs that compile to the same program. */
  readonly key: string;
}

/** Values an op reads, in argument order. */
export function opInputs(op: Op): readonly ValueId[] {
  switch (op.op) {
    case 'embed':
      return [];
    case 'attention':
      return [op.q, op.k, op.v];
    case 'gated':
      return [op.gate, op.up];
    case 'add':
    case 'mul':
      return [op.a, op.b];
    case 'route':
      return [op.logits];
    case 'expert':
      return [op.x, op.ids];
    case 'combine':
      return [op.slots, op.weights];
    default:
      return [op.x];
  }
}

/** Values an op writes. */
export function opOutputs(op: Op): readonly ValueId[] {
  switch (op.op) {
    case 'route':
      return [op.ids, op.weights];
    case 'expert':
      return [op.slots];
    default:
      return [op.out];
  }
}

/**
 * Weights an op reads, the large one first, a packed one's other components after it. An expert's own weights belong to
 * its sub-graph.
 */
export function opWeights(op: Op, graph: Pick<Graph, 'weights'>): readonly WeightId[] {
  const main = mainWeights(op);
  return main.flatMap((id) => [id, ...Object.values(graph.weights[id]!.packed?.components ?? {})]);
}

function mainWeights(op: Op): readonly WeightId[] {
  switch (op.op) {
    case 'embed':
      return [op.weight];
    case 'rmsNorm':
      return op.weight === undefined ? [] : [op.weight];
    case 'attention':
      return op.sinks === undefined ? [] : [op.sinks];
    case 'layerNorm':
    case 'linear':
      return [op.weight, op.bias].filter((id): id is WeightId => id !== undefined);
    default:
      return [];
  }
}

/** Whether a weight is cut with its op's output rows: matrices and row-wise components are, all else comes whole. */
export function isSliced(spec: WeightSpec): boolean {
  return spec.layout === 'out,in' || spec.layout === 'in,out';
}
