import type { DType } from '@airllm/loader';
import { GraphError } from '../errors';
import type { Graph, PackedWeightSpec, WeightLayout, WeightSpec } from '../graph/graph';
import type { WeightId } from '../graph/ops';
import { type BlockNumbers, type CodeKind, type ComponentName, constantPlaces } from '../packed/format';
import { NONE, type Words } from './words';

// How native/program.h describes quantised matrices. The lists are its enums, in their order.

const CODES: readonly CodeKind[] = ['u4', 'table4', 'u8', 'i8', 'e4m3'];
/** Codes are bytes, whatever they stand for. */
const DTYPES: Readonly<Partial<Record<DType, number>>> = { F32: 0, F16: 1, BF16: 2, U8: 3, I8: 3, F8_E4M3: 3, I32: 4 };
const LAYOUTS: Readonly<Partial<Record<WeightLayout, number>>> = { rows: 0, 'out,in': 2, whole: 4, constants: 4 };

export interface PackedWeights {
  /** Weights that are quantised matrices, in the order of their records. */
  readonly ids: readonly WeightId[];
  /** `Weight` records of those and of all that they are made of. */
  readonly records: ReadonlyMap<WeightId, readonly number[]>;
}

export function packedWeights(graph: Graph): PackedWeights {
  const ids: WeightId[] = [];
  const records = new Map<WeightId, readonly number[]>();
  graph.weights.forEach((spec, id) => {
    if (spec.packed === undefined) return;
    records.set(id, record(spec, [spec.shape[0]!, spec.packed.columns], ids.length));
    for (const part of Object.values(spec.packed.components)) {
      const { shape } = graph.weights[part]!;
      records.set(part, record(graph.weights[part]!, shape.length === 2 ? shape : [1, shape[0] ?? 1], NONE));
    }
    ids.push(id);
  });
  return { ids, records };
}

function record({ dtype, layout }: WeightSpec, shape: readonly number[], packed: number): number[] {
  const code = DTYPES[dtype];
  const place = LAYOUTS[layout];
  if (code === undefined || place === undefined) {
    throw new GraphError('compile', `a quantised matrix with a component of dtype ${dtype} and layout ${layout}`);
  }
  return [code, place, ...shape, packed];
}

/** A `Packed` record. */
export function writePacked(words: Words, { format, components }: PackedWeightSpec): void {
  const { code, nibbles, block, flat, scale, zero, offset } = format;
  const id = (name: Exclude<ComponentName, 'codes'>) => components[name] ?? NONE;
  const numbers = (name: 'scales' | 'zeros' | 'offsets', supers: number, of?: BlockNumbers) =>
    words.integers(of ? id(name) : NONE, supers, of?.supers?.every ?? 0);
  words.integers(CODES.indexOf(code), nibbles === 'high' ? 1 : 0, block.rows, block.columns, flat ? 1 : 0);
  numbers('scales', id('supers'), scale);
  numbers('zeros', NONE, typeof zero === 'object' ? zero : undefined);
  numbers('offsets', id('offsetSupers'), offset);
  words.floats(typeof zero === 'number' ? zero : 0);
  const { bias = NONE, table4 = NONE, table8 = NONE } = constantPlaces(format);
  words.integers(id('columns'), id('constants'), bias, table4, table8);
}
