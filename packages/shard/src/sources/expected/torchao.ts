import type { PackedFormat } from '@airllm/kernels';
import { type Expectation, type ExpectedFormat, isQuantised } from './expectation';
import { skippedModules } from './skipped';

/** Rows of int8 or float8, as `quant_type` tells; other types cannot be told. */
export const expectedTorchao: ExpectedFormat = {
  matches: ({ quant_method }) => quant_method === 'torchao',

  expectation(quantisation): Expectation {
    const isSkipped = skippedModules(quantisation);
    const type = typeOf(quantisation.quant_type);
    const code: PackedFormat['code'] | undefined = /^int8/i.test(type)
      ? 'i8'
      : /^float8/i.test(type)
        ? 'e4m3'
        : undefined;
    return (weight) => {
      const { module, columns } = weight;
      if (code === undefined || !isQuantised(weight, [`${module}._weight_qdata`], isSkipped)) return undefined;
      return { format: { code, block: { rows: 1, columns }, scale: { dtype: 'F32' } } };
    };
  },
};

/** `Int8WeightOnlyConfig` in `{ default: { _type } }`, or `int8_weight_only`. */
function typeOf(type: unknown): string {
  if (typeof type === 'string') return type;
  const inner = (type as { default?: { _type?: unknown } | null } | null | undefined)?.default?._type;
  return typeof inner === 'string' ? inner : '';
}
