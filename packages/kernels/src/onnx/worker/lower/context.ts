import type { Graph } from '../../../graph/graph';
import type { ValueId, WeightId } from '../../../graph/ops';
import type { ModelBuilder } from '../model/model-builder';
import type { PackedWeight, StagedWeights } from '../weights';

/** The dimension that all rows of a session share. */
export const ROWS = 'rows';

/** What lowering an op looks at and adds to. */
export interface Lowering {
  readonly graph: Graph;
  readonly model: ModelBuilder;
  readonly weights: StagedWeights;
  /** The float32 value `[rows, width]`, an input of the session where no op of it has made it. */
  value(id: ValueId): string;
  /** A vector, float32 `[length]`. */
  vector(id: WeightId): string;
  /** The pieces of a dense matrix, each float32 `[rows of the piece, columns]`. */
  matrix(id: WeightId): { readonly name: string; readonly rows: number }[];
  /** Those of a packed one, and the order of its columns where that is another. */
  packed(id: WeightId): {
    readonly pieces: { readonly inputs: readonly string[]; readonly rows: number }[];
    readonly order: string | undefined;
    readonly weight: PackedWeight;
  };
  /** Rows that were gathered for an embedding, float32 `[rows, width]`. */
  gathered(id: WeightId): string;
  /** Tables of angles, float32 `[rows, dim / 2]`, and the row numbers they are looked up by. */
  rope(index: number): { readonly cos: string; readonly sin: string; readonly ids: string };
}

export function widthOf({ graph }: Lowering, id: ValueId): number {
  return graph.values[id]!.width;
}
