import type { Graph } from '../../../graph/graph';
import type { Op, ValueId, WeightId } from '../../../graph/ops';
import { opInputs, opOutputs } from '../../../graph/ops';
import { type ElementType, ModelBuilder } from '../model/model-builder';
import type { DenseWeight, PackedWeight, StagedWeights } from '../weights';
import { type Lowering, ROWS } from './context';
import { inOut, outIn } from './linear';
import { lowerOp } from './lower-op';

/** What a session is fed with, by the names of its inputs. */
export type Input =
  | { readonly kind: 'value'; readonly id: ValueId }
  | WeightInput
  | { readonly kind: 'gathered'; readonly id: WeightId }
  | { readonly kind: 'rope'; readonly index: number; readonly table: 'cos' | 'sin' }
  | { readonly kind: 'rowNumbers' }
  /** What the slice before this one left. */
  | { readonly kind: 'before' };

/** Of weights that are the same in every pass. */
export type WeightInput =
  | { readonly kind: 'matrix'; readonly id: WeightId; readonly piece: number }
  | {
      readonly kind: 'packed';
      readonly id: WeightId;
      readonly piece: number;
      readonly what: 'codes' | 'scales' | 'zeros';
      readonly shape: readonly number[];
    }
  /** Of the columns of a packed matrix. */
  | { readonly kind: 'order'; readonly id: WeightId }
  | { readonly kind: 'vector'; readonly id: WeightId };

export interface GroupModel {
  readonly bytes: Uint8Array;
  readonly inputs: ReadonlyMap<string, Input>;
  /** Names of outputs and the values they are. */
  readonly outputs: ReadonlyMap<string, ValueId>;
}

/**
 * Ops of one graph as one model, from the values, weights and tables it is fed with to those of its values that
 * somebody needs after it.
 */
export function groupModel(
  graph: Graph,
  ops: readonly Op[],
  needed: readonly ValueId[],
  weights: StagedWeights,
): GroupModel {
  const recording = new Recording(graph, weights);
  for (const op of ops) {
    const { id, name } = lowerOp(recording, op);
    recording.made.set(id, name);
  }
  return recording.finish(new Map(needed.map((id) => [`y${id}`, id])), (id) => recording.value(id));
}

/**
 * One slice of a linear. `out,in`: the columns of the result that its rows make, `piece` `[rows, rows of the slice]`;
 * `in,out`: its share of the whole result added to what came `before`.
 */
export function sliceModel(
  graph: Graph,
  op: Extract<Op, { op: 'linear' }>,
  slice: { readonly from: number; readonly to: number },
  weights: StagedWeights,
): GroupModel {
  const recording = new Recording(graph, weights);
  const first = slice.from === 0;
  const adds = graph.weights[op.weight]!.layout === 'in,out';
  const name = adds
    ? inOut(recording, op, slice, first ? undefined : recording.before(graph.values[op.out]!.width))
    : outIn(recording, op);
  return recording.finish(new Map([['y', op.out]]), () => name, adds ? graph.values[op.out]!.width : 'columns');
}

/** Notes every input that lowering asks for. Its functions are properties: lowering takes them apart. */
class Recording implements Lowering {
  readonly graph: Graph;
  readonly weights: StagedWeights;
  readonly model = new ModelBuilder();
  readonly made = new Map<ValueId, string>();
  readonly #inputs = new Map<string, Input>();

  constructor(graph: Graph, weights: StagedWeights) {
    this.graph = graph;
    this.weights = weights;
  }

  readonly value = (id: ValueId): string =>
    this.made.get(id) ?? this.#input(`x${id}`, { kind: 'value', id }, [ROWS, this.graph.values[id]!.width]);

  readonly vector = (id: WeightId): string =>
    this.#input(`w${id}`, { kind: 'vector', id }, [this.weights.get(id)!.columns]);

  readonly matrix = (id: WeightId) => {
    const { pieces, columns } = this.weights.get(id) as DenseWeight;
    return pieces.map((piece, n) => {
      const stored = `w${id}_${n}`;
      const name = this.#input(stored, { kind: 'matrix', id, piece: n }, [`${stored}_rows`, columns], piece.type);
      return { rows: piece.rows, name: piece.type === 'float32' ? name : this.model.node('Cast', [name], { to: 1 }) };
    });
  };

  readonly packed = (id: WeightId) => {
    const weight = this.weights.get(id) as PackedWeight;
    const { bits, block, zeros } = weight.form;
    const blocks = weight.columns / block;
    const pieces = weight.pieces.map(({ rows }, n) => {
      const piece = (what: 'codes' | 'scales' | 'zeros', shape: readonly number[]) =>
        this.#input(
          `w${id}_${n}_${what}`,
          { kind: 'packed', id, piece: n, what, shape },
          shape,
          what === 'scales' ? 'float32' : 'uint8',
        );
      const codes = [rows, blocks, (block * bits) / 8];
      // MatMulBnb4 takes them in one dimension.
      const shape = weight.table === undefined ? codes : [codes.reduce((product, size) => product * size)];
      const inputs = [piece('codes', shape), piece('scales', [rows * blocks])];
      if (zeros) inputs.push(piece('zeros', [rows * Math.ceil((blocks * bits) / 8)]));
      return { inputs, rows };
    });
    const order = weight.order && this.#input(`w${id}_order`, { kind: 'order', id }, [weight.columns], 'int32');
    return { pieces, order, weight };
  };

  readonly gathered = (id: WeightId): string =>
    this.#input(`w${id}`, { kind: 'gathered', id }, [ROWS, this.weights.get(id)!.columns]);

  readonly rope = (index: number) => {
    const half = this.graph.ropes[index]!.dim / 2;
    return {
      cos: this.#input(`cos${index}`, { kind: 'rope', index, table: 'cos' }, [ROWS, half]),
      sin: this.#input(`sin${index}`, { kind: 'rope', index, table: 'sin' }, [ROWS, half]),
      ids: this.#input('ids', { kind: 'rowNumbers' }, [1, ROWS], 'int64'),
    };
  };

  before(width: number): string {
    return this.#input('before', { kind: 'before' }, [ROWS, width]);
  }

  finish(outputs: ReadonlyMap<string, ValueId>, nameOf: (id: ValueId) => string, width?: number | string): GroupModel {
    for (const [name, id] of outputs) {
      this.model.output(name, nameOf(id), 'float32', [ROWS, width ?? this.graph.values[id]!.width]);
    }
    return { bytes: this.model.build(), inputs: this.#inputs, outputs };
  }

  #input(name: string, input: Input, shape: readonly (number | string)[], type: ElementType = 'float32'): string {
    if (!this.#inputs.has(name)) {
      this.#inputs.set(name, input);
      this.model.input(name, type, shape);
    }
    return name;
  }
}

/** Values that ops `[from, to)` of a graph make and others need: later ops, or whoever runs the graph. */
export function neededAfter(graph: Graph, from: number, to: number): ValueId[] {
  const made = new Set(graph.ops.slice(from, to).flatMap(opOutputs));
  const needed = new Set([...graph.ops.slice(to).flatMap(opInputs), ...graph.outputs.values()]);
  return [...made].filter((id) => needed.has(id));
}
