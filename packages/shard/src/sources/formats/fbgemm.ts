import type { QuantFormat } from '../source';
import { resolveFp8 } from './fp8-matrices';

/** FP8 weights with a float32 scale per row, as FBGEMM's kernels take them (Llama 3.1 405B FP8); in place. */
export const fbgemm: QuantFormat = {
  name: 'fbgemm_fp8',

  detect(raw) {
    return raw.quantisation?.quant_method === 'fbgemm_fp8';
  },

  async resolve(raw) {
    return resolveFp8(raw, undefined);
  },
};
