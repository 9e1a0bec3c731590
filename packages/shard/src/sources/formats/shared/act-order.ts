import type { MetaTensor } from '@airllm/loader';
import type { RawCheckpoint } from '../../source';
import { checkDType, checkShape, malformed } from './tensors';

/** Columns in the order of their groups, and within a group in their own: what act-order stores them in. */
export function groupOrder(groupOf: Int32Array): Int32Array {
  return Int32Array.from(groupOf.keys()).sort((a, b) => groupOf[a]! - groupOf[b]! || a - b);
}

/** Whether column k is in group floor(k / size) for all of them. */
function isInOrder(groupOf: Int32Array, size: number): boolean {
  return groupOf.every((group, k) => group === Math.floor(k / size));
}

/** The group of each column, as a tensor of their numbers has it. */
export async function readGroups(raw: RawCheckpoint, tensor: MetaTensor, columns: number): Promise<Int32Array> {
  checkDType(tensor, ['I32']);
  checkShape(tensor, [columns]);
  return new Int32Array((await raw.read(tensor)).slice().buffer);
}

export interface ColumnOrder {
  /** `permuted`: columns are stored by their groups; `irregular`: groups differ in size, and fit no blocks. */
  readonly kind: 'in order' | 'permuted' | 'irregular';
  /** Given to the codec where it is needed. */
  readonly tensor?: MetaTensor;
}

/** How columns are assigned to groups of `size`. Throws a `FormatError` for a group that is not there. */
export function columnOrder(
  tensor: MetaTensor,
  groupOf: Int32Array,
  { groups, size }: { groups: number; size: number },
): ColumnOrder {
  const odd = groupOf.findIndex((group) => group < 0 || group >= groups);
  if (odd >= 0) malformed(tensor, `column ${odd} is in group ${groupOf[odd]} of ${groups}`);
  if (isInOrder(groupOf, size)) return { kind: 'in order' };
  const sorted = groupOrder(groupOf).map((column) => groupOf[column]!);
  return { kind: isInOrder(sorted, size) ? 'permuted' : 'irregular', tensor };
}
