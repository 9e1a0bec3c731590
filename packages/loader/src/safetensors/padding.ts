import type { MetaTensor } from '../meta-tensor';

/**
 * The format allows no holes, so the writer aligns a tensor by putting a U8 tensor of up to 63 bytes before it.
 * Checkpoints hide these; other programs see a few extra tensors under this prefix.
 */
export const PADDING_PREFIX = '__padding__.';

/** Whether a tensor only aligns the one behind it, as {@link layoutHeader} makes them. */
export function isPadding(tensor: Pick<MetaTensor, 'name' | 'dtype'>): boolean {
  return tensor.dtype === 'U8' && tensor.name.startsWith(PADDING_PREFIX);
}
