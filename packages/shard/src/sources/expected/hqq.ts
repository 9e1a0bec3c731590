import { type ExpectedFormat, isQuantised } from './expectation';
import { skippedModules } from './skipped';

/** HQQ as transformers saves it: 4 bits in groups along rows, with zeros that are no integers. */
export const expectedHqq: ExpectedFormat = {
  matches: ({ quant_method }) => quant_method === 'hqq',

  expectation(quantisation, { dtype }) {
    const isSkipped = skippedModules(quantisation);
    const { weight_quant_params: params } = recordOf(quantisation.quant_config);
    const { nbits, group_size: group } = recordOf(params);
    if (nbits !== 4 || !Number.isSafeInteger(group) || (group as number) <= 0) return () => undefined;
    return (weight) => {
      if (weight.columns % 2 !== 0 || !isQuantised(weight, [`${weight.module}.W_q`], isSkipped)) return undefined;
      const block = { rows: 1, columns: group as number };
      return { format: { code: 'u4', nibbles: 'low', block, scale: { dtype }, zero: { dtype } } };
    };
  },
};

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
