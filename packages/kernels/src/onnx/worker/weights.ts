import type { Graph } from '../../graph/graph';
import type { LinearOp, WeightId } from '../../graph/ops';
import type { DeviceBuffer } from './backend';

/** Rows of a matrix that lie together in one buffer. */
export interface Piece {
  readonly buffer: DeviceBuffer;
  readonly type: 'float32' | 'float16';
  readonly rows: number;
}

/** A weight as sessions take it: a vector in float32 as one piece of one row, a matrix in pieces by rows. */
export interface StagedWeight {
  readonly pieces: readonly Piece[];
  /** Row width. */
  readonly columns: number;
}

/** Weights of a part by their index in the graph. */
export type StagedWeights = ReadonlyMap<WeightId, StagedWeight>;

/** Tells apart what must be compiled apart: how many pieces each weight has, and of which type. */
export function signature(weights: StagedWeights, ids: readonly WeightId[]): string {
  return ids
    .map(
      (id) =>
        `${id}:${weights
          .get(id)
          ?.pieces.map(({ type }) => type.slice(5))
          .join('+')}`,
    )
    .join(' ');
}

/** K of the matrix that a linear multiplies with. */
export function inputWidth(graph: Graph, op: LinearOp): number {
  return graph.values[op.x]!.width;
}
