import type { WeightId } from '../../graph/ops';
import type { PackedForm } from '../packed-form';
import type { DeviceBuffer } from './backend';

/** Rows of a matrix that lie together in one buffer, as numbers. */
export interface DensePiece {
  readonly type: 'float32' | 'float16';
  readonly buffer: DeviceBuffer;
  readonly rows: number;
}

/** The same as codes of a packed form. */
export interface PackedPiece {
  readonly type: 'packed';
  readonly buffer: DeviceBuffer;
  readonly rows: number;
  /** Float32 `[rows, blocks of a row]`. */
  readonly scales: DeviceBuffer;
  readonly zeros: DeviceBuffer | undefined;
}

/** MatMulBnb4's `quant_type` of its two tables. */
export const BNB4_TABLES = { FP4: 0, NF4: 1 } as const;
export type Bnb4Table = keyof typeof BNB4_TABLES;

/** A weight as sessions take it: a vector in float32 as one piece of one row, a matrix in pieces by rows. */
export type StagedWeight = DenseWeight | PackedWeight;

export interface DenseWeight {
  readonly pieces: readonly DensePiece[];
  /** Row width. */
  readonly columns: number;
  readonly form?: undefined;
}

export interface PackedWeight {
  readonly pieces: readonly PackedPiece[];
  readonly columns: number;
  readonly form: PackedForm;
  /** Of bitsandbytes' form. */
  readonly table?: Bnb4Table | undefined;
  /** int32 `[columns]`, where activations are brought into another order. */
  readonly order: DeviceBuffer | undefined;
}

/** Weights of a part by their index in the graph. */
export type StagedWeights = ReadonlyMap<WeightId, StagedWeight>;

/** All memory of a weight. */
export function buffersOf(weight: StagedWeight): DeviceBuffer[] {
  const buffers: (DeviceBuffer | undefined)[] =
    weight.form === undefined
      ? weight.pieces.map(({ buffer }) => buffer)
      : [weight.order, ...weight.pieces.flatMap(({ buffer, scales, zeros }) => [buffer, scales, zeros])];
  return buffers.filter((buffer) => buffer !== undefined);
}

/** Memory of weights. */
export function stagedBytes(weights: StagedWeights): number {
  let bytes = 0;
  for (const weight of weights.values()) for (const { byteLength } of buffersOf(weight)) bytes += byteLength;
  return bytes;
}

/** Tells apart what must be compiled apart: how many pieces each weight has, and of which type. */
export function signature(weights: StagedWeights, ids: readonly WeightId[]): string {
  return ids.map((id) => `${id}:${signatureOf(weights.get(id))}`).join(' ');
}

/** How many rows there are is an attribute of ops on codes, and a size for all others. */
function signatureOf(weight: StagedWeight | undefined): string {
  if (weight === undefined) return '';
  if (weight.form === undefined) return weight.pieces.map(({ type }) => type.slice(5)).join('+');
  return `${weight.table ?? `${weight.form.bits} bits`} ${weight.pieces.map(({ rows }) => rows).join('+')}`;
}
