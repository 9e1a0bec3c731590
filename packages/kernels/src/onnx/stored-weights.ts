import type { Graph, Part } from '../graph/graph';
import { opWeights } from '../graph/ops';
import { packedBytes, packedForm } from './packed-form';
import type { Opened } from './protocol';
import { weightsOf } from './weights-of';

/** What one weight of a part takes on a device; sizes are bytes. */
export interface StoredWeight {
  /** In the form its numbers are expected to have. */
  readonly bytes: number;
  /** In float32, which some matrices turn out to need. */
  readonly mostBytes: number;
  /** What a session brings it to float32 in, while it runs. */
  readonly castBytes: number;
}

/** The weights of a part as they are stored: codes where they stay, float16 where the device computes with it, else float32. */
export function storedWeights(
  whole: Graph,
  outer: Part,
  { halfFloats, packs }: Pick<Opened, 'halfFloats' | 'packs'>,
): StoredWeight[] {
  const { graph, part } = weightsOf(whole, outer);
  const { slice } = part;
  const components = new Set(graph.weights.flatMap(({ packed }) => Object.values(packed?.components ?? {})));
  const ids = new Set(graph.ops.slice(part.from, part.to).flatMap((op) => opWeights(op, graph)));
  return [...ids]
    .filter((id) => !components.has(id))
    .map((id) => {
      const { shape, packed, dtype, layout } = graph.weights[id]!;
      const matrix = layout === 'out,in' || layout === 'in,out';
      const rows = matrix && slice !== undefined ? slice.to - slice.from : matrix ? shape[0]! : 1;
      const floats = 4 * rows * (packed?.columns ?? shape.at(-1)!);
      const form = packed && matrix ? packedForm(packed, packs) : undefined;
      // Zeros that do not fit are seen only when they are read.
      if (form !== undefined)
        return { bytes: packedBytes(form, rows, packed!.columns), mostBytes: floats, castBytes: 0 };
      const half = matrix && dtype !== 'F32' && halfFloats;
      return half
        ? { bytes: floats / 2, mostBytes: dtype === 'F16' ? floats / 2 : floats, castBytes: floats }
        : { bytes: floats, mostBytes: floats, castBytes: 0 };
    });
}
