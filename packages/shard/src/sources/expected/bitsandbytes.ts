import { nibbleFormat } from '../formats/bitsandbytes-4bit';
import { int8Factor, int8Format } from '../formats/bitsandbytes-int8';
import { type ExpectedFormat, isQuantised } from './expectation';
import { skippedModules } from './skipped';

/** No configuration tells it; every upload has it. */
const BLOCK_SIZE = 64;
const NESTED_BLOCK_SIZE = 256;

export const expectedBitsandbytes: ExpectedFormat = {
  matches: ({ quant_method }) => quant_method === 'bitsandbytes',

  expectation(quantisation) {
    const isSkipped = skippedModules(quantisation);
    return (weight) => {
      const { name, module, rows, columns } = weight;
      const scb = `${module}.SCB`;
      if (!isQuantised(weight, [`${name}.absmax`, scb], isSkipped)) return undefined;
      if (weight.listed ? weight.has(scb) : quantisation.load_in_8bit === true) {
        return { format: int8Format(columns, 'F32'), known: { supers: int8Factor(name) } };
      }
      // Rows that begin in the middle of a byte are rewritten.
      if (columns % 2 !== 0) return undefined;
      const nested = weight.listed
        ? weight.has(`${name}.nested_absmax`)
        : quantisation.bnb_4bit_use_double_quant === true;
      const state = { shape: [rows, columns] as const, blockSize: BLOCK_SIZE };
      if (!nested) return { format: nibbleFormat(state, 'F32') };
      const double = { ...state, nested: { blockSize: NESTED_BLOCK_SIZE, offset: 0 } };
      return { format: nibbleFormat(double, 'U8'), ownConstants: true };
    };
  },
};
