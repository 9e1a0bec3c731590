import type { Row, Sequence } from '../engine';
import type { ModelConfig } from '../models/model';

/**
 * Rows that bring a sequence up to `ids`, the last of them wanting logits. Rows of a prompt all take its length for
 * length-dependent RoPE, later ones their own: as transformers does with a KV cache. Where a sequence grows past the
 * model's switch length its keys would be rotated in two ways, so it is run again from the start.
 */
export function continuationRows(
  sequence: Sequence,
  ids: readonly number[],
  config: Pick<ModelConfig, 'ropeSwitchLength'>,
): Row[] {
  const limit = config.ropeSwitchLength ?? Number.POSITIVE_INFINITY;
  if (sequence.length > 0 && sequence.length <= limit && ids.length > limit) sequence.truncate(0);
  const from = sequence.length;
  return ids.slice(from).map((input, i) => ({
    sequence,
    position: from + i,
    input,
    ropeLength: from === 0 ? ids.length : from + i + 1,
    wantsLogits: from + i === ids.length - 1,
  }));
}
