import type { PackedFormat } from '@airllm/kernels';
import type { MetaTensor } from '@airllm/loader';
import type { GptqParams } from '../codecs/gptq';
import type { Conversion, QuantFormat, RawCheckpoint, ResolvedTensors, SourceTensor } from '../source';
import { type ColumnOrder, columnOrder, readGroups } from './shared/act-order';
import { partsOf, qweightModules } from './shared/qweight';
import { checkDType, checkShape, companion, malformed, unsupported } from './shared/tensors';

/** Bits whose codes lie in words of 32 bits as every GPTQ writer puts them. */
const BITS = [2, 3, 4, 8] as const;
type Bits = (typeof BITS)[number];

/**
 * GPTQ, and auto-round in its packing. Codes lie along K in words, transposed `[K · bits / 32, N]`, zero points along N,
 * stored minus 1 in version 1; `g_idx` gives each column its group (act-order).
 */
export const gptq: QuantFormat = {
  name: 'gptq',

  detect(raw) {
    return qweightModules(raw, 'gptq').length > 0 || namesMarlin(raw);
  },

  async resolve(raw): Promise<ResolvedTensors> {
    if (namesMarlin(raw)) {
      unsupported(raw, 'weights repacked for the Marlin kernels; use the GPTQ upload they were made from');
    }
    const modules = qweightModules(raw, 'gptq');
    const resolved = await Promise.all(modules.map((module) => resolveModule(raw, module)));
    const tensors = new Map<string, SourceTensor>(resolved.map((conversion) => [conversion.name, conversion]));
    return { tensors, used: partsOf(raw, modules, PARTS) };
  },
};

const PARTS = ['qweight', 'qzeros', 'scales', 'g_idx'];

function namesMarlin({ quantisation, tensors }: RawCheckpoint): boolean {
  const named = [quantisation?.quant_method, quantisation?.checkpoint_format, quantisation?.is_marlin_format];
  if (named.some((value) => value === true || (typeof value === 'string' && value.includes('marlin')))) return true;
  return [...tensors.keys()].some((name) => name.endsWith('.B') && tensors.has(name.replace(/B$/, 'workspace')));
}

async function resolveModule(raw: RawCheckpoint, module: string): Promise<Conversion> {
  const qweight = raw.tensors.get(`${module}.qweight`)!;
  const scales = companion(raw, qweight, `${module}.scales`);
  const qzeros = raw.tensors.get(`${module}.qzeros`);
  checkDType(qweight, ['I32', 'U32']);
  checkDType(scales, ['F16', 'BF16', 'F32']);
  if (qweight.shape.length !== 2) malformed(qweight, `its shape is [${qweight.shape.join(', ')}], expected a matrix`);
  const rows = qweight.shape[1]!;
  const groups = scales.shape[0] ?? 0;
  checkShape(scales, [groups, rows]);
  const bits = bitsOf(raw, qweight, qzeros, rows);
  const columns = (qweight.shape[0]! * 32) / bits;
  if (!Number.isInteger(columns) || columns === 0 || rows === 0 || groups === 0) {
    malformed(qweight, `its shape is [${qweight.shape.join(', ')}], which is no matrix of ${bits}-bit codes`);
  }
  if (columns % 2 !== 0) malformed(qweight, `it has ${columns} columns, expected an even number`);
  const symmetric = isSymmetric(raw, module);
  if (!symmetric && qzeros === undefined) companion(raw, qweight, `${module}.qzeros`);
  if (qzeros !== undefined) {
    checkDType(qzeros, ['I32', 'U32']);
    checkShape(qzeros, [groups, (rows * bits) / 32]);
  }
  const group = groupSize(raw, qweight, columns, groups);
  const order = await orderOf(raw, module, { columns, groups, size: group });
  const params: GptqParams = {
    bits,
    groups,
    scale: scales.dtype as GptqParams['scale'],
    zeros: symmetric ? 'symmetric' : isVersion2(raw) ? 'stored' : 'minus one',
    order: order.kind,
  };
  const zero = symmetric ? 2 ** (bits - 1) : ({ dtype: 'U8' } as const);
  const format: PackedFormat = {
    ...(bits === 8 ? { code: 'u8' as const } : { code: 'u4' as const, nibbles: 'low' as const }),
    block: { rows: 1, columns: group },
    scale: { dtype: params.scale },
    zero,
    ...(order.kind === 'permuted' && { columns: true as const }),
  };
  return {
    kind: 'conversion',
    name: `${module}.weight`,
    shape: [rows, columns],
    codec: 'gptq',
    params,
    inputs: { qweight, scales, ...(!symmetric && { qzeros: qzeros! }), ...(order.tensor && { g_idx: order.tensor }) },
    // Groups of unequal size fit no blocks; their weights are exact as float32.
    output: order.kind === 'irregular' ? { dtype: 'F32' } : { format },
  };
}

/** Told by the tensors where they can tell: rules of `dynamic` make the config's number one of several. */
function bitsOf(raw: RawCheckpoint, qweight: MetaTensor, qzeros: MetaTensor | undefined, rows: number): Bits {
  const named = raw.quantisation?.bits;
  const found = qzeros?.shape.length === 2 ? (qzeros.shape[1]! * 32) / rows : named;
  const bits = BITS.find((known) => known === found);
  if (bits !== undefined) return bits;
  if (typeof found === 'number' && [5, 6, 7].includes(found)) {
    unsupported(raw, `${qweight.name} has ${found}-bit codes in GPTQModel's planar packing; use 2, 3, 4 or 8 bits`);
  }
  return malformed(qweight, `it has codes of ${found} bits, expected ${BITS.join(', ')}`);
}

function groupSize(raw: RawCheckpoint, qweight: MetaTensor, columns: number, groups: number): number {
  if (groups === 1) return columns;
  const named = raw.quantisation?.group_size;
  if (typeof named === 'number' && named > 0 && Math.ceil(columns / named) === groups) return named;
  const even = Math.ceil(columns / groups);
  if (Math.ceil(columns / even) === groups) return even;
  return malformed(qweight, `its ${columns} columns do not make ${groups} groups`);
}

async function orderOf(
  raw: RawCheckpoint,
  module: string,
  { columns, groups, size }: { columns: number; groups: number; size: number },
): Promise<ColumnOrder> {
  const tensor = raw.tensors.get(`${module}.g_idx`);
  // Kept as an empty tensor by writers that do not reorder.
  if (tensor === undefined || tensor.elementCount === 0) return { kind: 'in order' };
  return columnOrder(tensor, await readGroups(raw, tensor, columns), { groups, size });
}

function isVersion2({ quantisation }: RawCheckpoint): boolean {
  return quantisation?.checkpoint_format === 'gptq_v2';
}

/** Symmetric weights have the middle as their zero point, whatever version their zeros are stored in. */
function isSymmetric({ quantisation }: RawCheckpoint, module: string): boolean {
  const rules = quantisation?.dynamic;
  if (typeof rules === 'object' && rules !== null) {
    for (const [rule, override] of Object.entries(rules)) {
      const sym = (override as { sym?: unknown } | null)?.sym;
      if (typeof sym === 'boolean' && matches(rule, module)) return sym;
    }
  }
  return quantisation?.sym === true;
}

/** A rule is a regular expression, after `+:`, that the name must begin with. It comes from a file: no slow ones. */
function matches(rule: string, module: string): boolean {
  const pattern = rule.replace(/^\+:/, '');
  if (rule.startsWith('-:') || pattern.length > 200 || /[+*}]\)*[+*{]/.test(pattern)) return false;
  try {
    return new RegExp(`^(?:${pattern})`).test(module);
  } catch {
    return false;
  }
}
