import type { MetaTensor } from '@airllm/loader';
import type { RawCheckpoint } from '../source';
import { type ColumnOrder, columnOrder, readGroups } from './shared/act-order';

/** How `weight_g_idx` assigns columns to groups of `size`. −1 anywhere means that nothing was reordered. */
export async function actOrder(
  raw: RawCheckpoint,
  tensor: MetaTensor | undefined,
  { columns, groups, size }: { columns: number; groups: number; size: number },
): Promise<ColumnOrder> {
  if (tensor === undefined || tensor.elementCount === 0 || groups === 1) return { kind: 'in order' };
  const groupOf = await readGroups(raw, tensor, columns);
  return groupOf.includes(-1) ? { kind: 'in order' } : columnOrder(tensor, groupOf, { groups, size });
}
