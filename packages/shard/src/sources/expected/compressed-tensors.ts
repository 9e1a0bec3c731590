import type { BlockDType, PackedFormat } from '@airllm/kernels';
import { float4Format } from '../formats/shared/float4';
import { type ExpectedFormat, type ExpectedMatrix, isQuantised, type QuantisationConfig } from './expectation';
import { matchesModule, skippedModules } from './skipped';

/** compressed-tensors: what the group of `config_groups` says that a module belongs to. */
export const expectedCompressedTensors: ExpectedFormat = {
  matches: ({ quant_method }) => quant_method === 'compressed-tensors',

  expectation(quantisation, { dtype }) {
    const isSkipped = skippedModules(quantisation);
    const groups = schemes(quantisation);
    return (weight) => {
      const { module, rows, columns } = weight;
      const companions = ['weight_packed', 'weight_scale'].map((part) => `${module}.${part}`);
      const scheme = groups.find(({ targets }) =>
        targets.some((target) => target === 'Linear' || matchesModule(target, module)),
      );
      if (scheme === undefined || !isQuantised(weight, companions, isSkipped)) return undefined;
      return scheme.type === 'float' ? floats(scheme, rows, columns, dtype) : integers(scheme, columns, dtype);
    };
  },
};

interface Scheme {
  readonly targets: readonly string[];
  readonly bits: number;
  readonly type: unknown;
  readonly strategy: unknown;
  readonly group: number | undefined;
  readonly symmetric: boolean;
  readonly blocks: readonly [number, number] | undefined;
  /** `pack-quantized`, `int-quantized`, … of the group or of the model. */
  readonly layout: string;
}

function schemes(quantisation: QuantisationConfig): Scheme[] {
  return Object.values(recordOf(quantisation.config_groups)).flatMap((entry) => {
    const { weights, targets, format = quantisation.format } = recordOf(entry);
    const { num_bits: bits, type, strategy, group_size: group, symmetric, block_structure: blocks } = recordOf(weights);
    if (typeof bits !== 'number' || !Array.isArray(targets)) return [];
    return {
      targets: targets.filter((target) => typeof target === 'string'),
      bits,
      type,
      strategy,
      group: isSize(group) ? group : undefined,
      symmetric: symmetric !== false,
      blocks:
        Array.isArray(blocks) && blocks.length === 2 && blocks.every(isSize) ? (blocks as [number, number]) : undefined,
      layout: typeof format === 'string' ? format : '',
    };
  });
}

function floats(scheme: Scheme, rows: number, columns: number, dtype: BlockDType): ExpectedMatrix | undefined {
  const { bits, group, layout, strategy, blocks } = scheme;
  if (bits === 4) {
    if (columns % 2 !== 0) return undefined;
    return layout.startsWith('nvfp4') ? { format: float4Format(16), ownConstants: true } : { format: float4Format(32) };
  }
  if (bits !== 8) return undefined;
  const scaled = (block: readonly [number, number], of: BlockDType): ExpectedMatrix => {
    return { format: { code: 'e4m3', block: { rows: block[0], columns: block[1] }, scale: { dtype: of } } };
  };
  if (layout.startsWith('mxfp8')) return scaled([1, 32], 'U8');
  if (strategy === 'block') return blocks && scaled(blocks, dtype);
  return scaled(strategy === 'tensor' ? [rows, columns] : [1, group ?? columns], dtype);
}

function integers(scheme: Scheme, columns: number, dtype: BlockDType): ExpectedMatrix | undefined {
  const { bits, group, symmetric, layout } = scheme;
  const block = { rows: 1, columns: group ?? columns };
  const scale = { dtype };
  if (layout === 'int-quantized') {
    return { format: symmetric ? { code: 'i8', block, scale } : { code: 'u8', block, scale, zero: { dtype: 'U8' } } };
  }
  if (bits < 2 || bits > 8 || columns % 2 !== 0) return undefined;
  const code: Pick<PackedFormat, 'code' | 'nibbles'> = bits > 4 ? { code: 'u8' } : { code: 'u4', nibbles: 'low' };
  return { format: { ...code, block, scale, zero: symmetric ? 2 ** (bits - 1) : { dtype: 'U8' } } };
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
