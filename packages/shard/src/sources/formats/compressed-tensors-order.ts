import type { MetaTensor } from '@airllm/loader';
import type { CompressedTensorsParams } from '../codecs/compressed-tensors';
import type { RawCheckpoint } from '../source';
import { groupOrder, isInOrder } from './shared/act-order';
import { checkDType, checkShape, malformed } from './shared/tensors';

export interface ColumnOrder {
  readonly kind: CompressedTensorsParams['order'];
  /** Given to the codec where it is needed. */
  readonly tensor?: MetaTensor;
}

/** How `weight_g_idx` assigns columns to groups of `size`. −1 anywhere means that nothing was reordered. */
export async function columnOrder(
  raw: RawCheckpoint,
  tensor: MetaTensor | undefined,
  { columns, groups, size }: { columns: number; groups: number; size: number },
): Promise<ColumnOrder> {
  if (tensor === undefined || tensor.elementCount === 0 || groups === 1) return { kind: 'in order' };
  checkDType(tensor, ['I32']);
  checkShape(tensor, [columns]);
  const index = new Int32Array((await raw.read(tensor)).slice().buffer);
  if (index.includes(-1)) return { kind: 'in order' };
  const odd = index.findIndex((group) => group < 0 || group >= groups);
  if (odd >= 0) malformed(tensor, `column ${odd} is in group ${index[odd]} of ${groups}`);
  if (isInOrder(index, size)) return { kind: 'in order' };
  const order = groupOrder(index);
  const sorted = order.map((column) => index[column]!);
  return { kind: isInOrder(sorted, size) ? 'permuted' : 'irregular', tensor };
}
