import { float4Format } from '../formats/shared/float4';
import type { ExpectedFormat } from './expectation';

const EXPERT = /^(.*)\.\d+\.(gate_up_proj|down_proj)$/;

/** Experts, and nothing else. */
export const expectedMxfp4: ExpectedFormat = {
  matches: ({ quant_method }) => quant_method === 'mxfp4',

  expectation() {
    return ({ module, listed, has }) => {
      const [, experts, projection] = EXPERT.exec(module) ?? [];
      if (experts === undefined || (listed && !has(`${experts}.${projection}_blocks`))) return undefined;
      return { format: float4Format(32) };
    };
  },
};
