import type { BlockDType, PackedFormat } from '@airllm/kernels';
import type { BlockShape } from '../formats/shared/scaled';
import { type ExpectedFormat, isQuantised, type WeightHint } from './expectation';
import { skippedModules } from './skipped';

/** FP8 in blocks where `weight_block_size` says so, else with one scale: in bfloat16 where it says null (Mistral). */
export const expectedFp8: ExpectedFormat = {
  matches: ({ quant_method }) => quant_method === 'fp8',

  expectation(quantisation) {
    const isSkipped = skippedModules(quantisation);
    const blocks = quantisation.weight_block_size;
    return (weight) => {
      if (!isFp8(weight, isSkipped)) return undefined;
      if (isBlockShape(blocks)) return { format: scaled(blocks, 'F32') };
      return { format: scaled([weight.rows, weight.columns], blocks === null ? 'BF16' : 'F32') };
    };
  },
};

/** FP8 with a float32 scale per row. */
export const expectedFbgemm: ExpectedFormat = {
  matches: ({ quant_method }) => quant_method === 'fbgemm_fp8',

  expectation(quantisation) {
    const isSkipped = skippedModules(quantisation);
    return (weight) => (isFp8(weight, isSkipped) ? { format: scaled([1, weight.columns], 'F32') } : undefined);
  },
};

/** E4M3 codes with one scale per block. */
export function scaled([rows, columns]: BlockShape, dtype: BlockDType): PackedFormat {
  return { code: 'e4m3', block: { rows, columns }, scale: { dtype } };
}

export function isFp8(weight: WeightHint, isSkipped: (module: string) => boolean): boolean {
  const { module } = weight;
  const companions = ['weight_scale_inv', 'weight_scale', 'scale', 'qscale_weight'].map((part) => `${module}.${part}`);
  return isQuantised(weight, companions, isSkipped);
}

function isBlockShape(blocks: unknown): blocks is BlockShape {
  return Array.isArray(blocks) && blocks.length === 2 && blocks.every((size) => Number.isSafeInteger(size) && size > 0);
}
