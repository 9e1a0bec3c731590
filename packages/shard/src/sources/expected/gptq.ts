import type { PackedFormat } from '@airllm/kernels';
import { type ExpectedFormat, isQuantised, type QuantisationConfig } from './expectation';
import { skippedModules } from './skipped';

/** GPTQ, and auto-round in either packing: codes of up to 4 bits as 4, scales in float16. */
export const expectedGptq: ExpectedFormat = {
  matches: (quantisation) =>
    quantisation.quant_method === 'gptq' || (quantisation.quant_method === 'auto-round' && !isAwqPacking(quantisation)),

  expectation(quantisation) {
    const isSkipped = skippedModules(quantisation);
    const { bits, sym, desc_act: actOrder } = quantisation;
    if (typeof bits !== 'number' || ![2, 3, 4, 8].includes(bits)) return () => undefined;
    return (weight) => {
      const { module, columns } = weight;
      if (columns % 2 !== 0 || !isQuantised(weight, [`${module}.qweight`], isSkipped)) return undefined;
      const group = groupOf(quantisation, columns);
      const format: PackedFormat = {
        ...(bits === 8 ? { code: 'u8' } : { code: 'u4', nibbles: 'low' }),
        block: { rows: 1, columns: group },
        scale: { dtype: 'F16' },
        zero: sym === true ? 2 ** (bits - 1) : { dtype: 'U8' },
        ...(actOrder === true && group < columns && { columns: true }),
      };
      return { format };
    };
  },
};

/** AWQ, and auto-round in its packing: 4 bits with zero points, scales in float16. */
export const expectedAwq: ExpectedFormat = {
  matches: (quantisation) =>
    quantisation.quant_method === 'awq' || (quantisation.quant_method === 'auto-round' && isAwqPacking(quantisation)),

  expectation(quantisation) {
    const isSkipped = skippedModules(quantisation);
    return (weight) => {
      const { module, columns } = weight;
      if (columns % 2 !== 0 || !isQuantised(weight, [`${module}.qweight`], isSkipped)) return undefined;
      const block = { rows: 1, columns: groupOf(quantisation, columns) };
      return { format: { code: 'u4', nibbles: 'low', block, scale: { dtype: 'F16' }, zero: { dtype: 'U8' } } };
    };
  },
};

function isAwqPacking({ packing_format: packing }: QuantisationConfig): boolean {
  return typeof packing === 'string' && packing.includes('awq');
}

/** `group_size`: −1 is the whole row. */
function groupOf({ group_size: size }: QuantisationConfig, columns: number): number {
  return typeof size === 'number' && Number.isSafeInteger(size) && size > 0 && size < columns ? size : columns;
}
