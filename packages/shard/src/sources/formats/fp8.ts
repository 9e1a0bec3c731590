import type { QuantFormat, RawCheckpoint } from '../source';
import { hasFp8Weights, resolveFp8 } from './fp8-matrices';
import type { BlockShape } from './shared/scaled';
import { badConfig } from './shared/tensors';

/**
 * FP8 weights in blocks (DeepSeek, Qwen, MiniMax), with one scale (Mistral, AutoFP8), or with one per row; in place. A
 * checkpoint whose config names no method is taken by what its tensors are.
 */
export const fp8: QuantFormat = {
  name: 'fp8',

  detect(raw) {
    const method = raw.quantisation?.quant_method;
    return method === 'fp8' || (method === undefined && hasFp8Weights(raw));
  },

  async resolve(raw) {
    return resolveFp8(raw, weightBlocks(raw));
  },
};

/** `weight_block_size`, absent or null where scales are per tensor or per row. */
function weightBlocks(raw: RawCheckpoint): BlockShape | undefined {
  const blocks = raw.quantisation?.weight_block_size;
  if (blocks === undefined || blocks === null) return undefined;
  const whole = (size: unknown) => Number.isSafeInteger(size) && (size as number) > 0;
  if (Array.isArray(blocks) && blocks.length === 2 && blocks.every(whole)) return blocks as unknown as BlockShape;
  return badConfig(raw, `weight_block_size is ${JSON.stringify(blocks)}, expected [rows, columns] or null`);
}
