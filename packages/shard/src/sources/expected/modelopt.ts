import { float4Format } from '../formats/shared/float4';
import { type ExpectedFormat, isQuantised } from './expectation';
import { isFp8, scaled } from './fp8';
import { skippedModules } from './skipped';

/** NVFP4 where there is a second scale (or the algorithm's name tells), else FP8. */
export const expectedModelopt: ExpectedFormat = {
  matches: ({ quant_method }) => quant_method === 'modelopt' || quant_method === 'modelopt_fp4',

  expectation(quantisation) {
    const isSkipped = skippedModules(quantisation);
    const { quant_algo: algorithm } = quantisation;
    const isNvfp4 = typeof algorithm === 'string' && algorithm.includes('NVFP4');
    return (weight) => {
      if ((weight.listed || isNvfp4) && isQuantised(weight, [`${weight.module}.weight_scale_2`], isSkipped)) {
        return { format: float4Format(16), ownConstants: true };
      }
      return isFp8(weight, isSkipped) ? { format: scaled([weight.rows, weight.columns], 'F32') } : undefined;
    };
  },
};
