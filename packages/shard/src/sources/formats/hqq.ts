import type { PackedFormat } from '@airllm/kernels';
import type { MetaTensor } from '@airllm/loader';
import type { HqqParams } from '../codecs/hqq';
import type { QuantFormat, RawCheckpoint, ResolvedTensors, SourceTensor } from '../source';
import { type HqqPacking, hqqPacking } from './hqq-packing';
import { checkCount, checkDType, companion, malformed, packed, unsupported, viewed } from './shared/tensors';

const CODES = '.W_q';

/** Everything that HQQ stores of a module, each number and each text in a tensor of its own. */
const META = [
  ...['W_q', 'scale', 'zero', 'zero_scale', 'shape', 'axis', 'nbits', 'group_size', 'packing', 'unpack_view_dtype'],
  ...['view_as_float', 'quant_scale', 'quant_zero', 'compute_dtype', 'channel_wise', 'optimize', 'round_zero'],
  ...['offload_meta', 'encoded_state_dict', 'stores_quant_config'],
];

/** Of a text such as `4bit_u8`. */
const LONGEST_TEXT = 64;

/**
 * HQQ: w = (code − zero) · scale, in groups of the flattened matrix, with zero points that need not be whole. 8 bits run
 * in place, others are rewritten in 4; groups across rows (axis 0) become float32.
 */
export const hqq: QuantFormat = {
  name: 'hqq',

  detect(raw) {
    return [...raw.tensors.keys()].some((name) => name.endsWith(CODES));
  },

  async resolve(raw): Promise<ResolvedTensors> {
    const weights = [...raw.tensors.values()].filter(({ name }) => name.endsWith(CODES));
    const tensors = new Map<string, SourceTensor>();
    const used = new Set<string>();
    for (const tensor of await Promise.all(weights.map((weight) => resolveModule(raw, weight)))) {
      tensors.set(tensor.name, tensor);
    }
    for (const { name } of weights) {
      const module = name.slice(0, -CODES.length);
      for (const key of META) if (raw.tensors.has(`${module}.${key}`)) used.add(`${module}.${key}`);
    }
    return { tensors, used };
  },
};

async function resolveModule(raw: RawCheckpoint, weight: MetaTensor): Promise<SourceTensor> {
  const module = weight.name.slice(0, -CODES.length);
  const { scale, zero } = numbersOf(raw, weight, module);
  const meta = await readMeta(raw, weight, module);
  const { shape, packing } = meta;
  const [rows, columns] = shape;
  const grouped = groupedOf(weight, shape, packing);
  const count = scale.elementCount;
  for (const part of [scale, zero]) checkDType(part, ['F32', 'F16', 'BF16']);
  checkCount(zero, count);
  const name = `${module}.weight`;
  const isWhole = count === 1;
  const isAcross = !isWhole && count === grouped.columns && (scale.shape[0] === 1 || count !== grouped.rows);
  if (!isWhole && !isAcross) checkCount(scale, grouped.rows);
  if (meta.axis !== undefined && !isWhole && meta.axis !== (isAcross ? 0 : 1)) {
    malformed(scale, `it has ${count} numbers, which are not those of axis ${meta.axis}`);
  }
  const inputs = { weight, scale, zero };
  const params: HqqParams = {
    bits: packing.bits,
    perElement: packing.perElement,
    partCodes: grouped.partRows * grouped.columns,
    width: packing.bits <= 4 && columns % 2 === 0 ? 4 : 8,
    scale: scale.dtype as HqqParams['scale'],
    zero: zero.dtype as HqqParams['scale'],
    count,
    rowwise: !isWhole && !isAcross && columns % grouped.columns === 0,
  };
  if (isAcross) return { kind: 'conversion', name, shape, codec: 'hqq', params, inputs, output: { dtype: 'F32' } };
  // Groups that do not fit rows run on across their ends.
  const isFlat = !isWhole && columns % grouped.columns !== 0;
  const format: PackedFormat = {
    ...(params.width === 4 ? { code: 'u4', nibbles: 'low' } : { code: 'u8' }),
    block: isWhole ? { rows, columns } : { rows: 1, columns: grouped.columns },
    ...(isFlat && { flat: true }),
    scale: { dtype: params.scale },
    zero: { dtype: params.zero },
  };
  if (packing.bits !== 8) return { kind: 'conversion', name, shape, codec: 'hqq', params, inputs, output: { format } };
  const numbersShape = params.rowwise ? [rows, count / rows] : [count];
  const components = {
    codes: viewed(weight, { dtype: 'U8', shape }),
    scales: viewed(scale, { shape: numbersShape }),
    zeros: viewed(zero, { shape: numbersShape }),
  };
  return packed(weight, { name, shape, format, components });
}

/** `scale` and `zero`, or both in one tensor. */
function numbersOf(raw: RawCheckpoint, weight: MetaTensor, module: string): { scale: MetaTensor; zero: MetaTensor } {
  for (const part of ['scale_q', 'zero_q']) {
    if (raw.tensors.has(`${module}.${part}`)) {
      unsupported(raw, `${module} has scales or zero points that are quantised themselves; use an upload without`);
    }
  }
  const both = raw.tensors.get(`${module}.zero_scale`);
  if (both === undefined) {
    return { scale: companion(raw, weight, `${module}.scale`), zero: companion(raw, weight, `${module}.zero`) };
  }
  if (both.dtype === 'U8') unsupported(raw, `${both.name} is quantised itself; use an upload without offload_meta`);
  if (both.shape[0] !== 2) malformed(both, `its shape is [${both.shape.join(', ')}], expected [2, …]`);
  const shape = both.shape.slice(1);
  const half = (i: number) => viewed(both, { shape, from: (i * both.byteLength) / 2 });
  return { zero: half(0), scale: half(1) };
}

interface Meta {
  readonly shape: readonly [rows: number, columns: number];
  readonly axis: number | undefined;
  readonly packing: HqqPacking;
}

async function readMeta(raw: RawCheckpoint, weight: MetaTensor, module: string): Promise<Meta> {
  const part = (key: string) => raw.tensors.get(`${module}.${key}`);
  const shapeTensor = companion(raw, weight, `${module}.shape`);
  const [shape, axis, bits, text] = await Promise.all([
    readShape(raw, shapeTensor),
    readNumber(raw, part('axis')),
    readNumber(raw, part('nbits')),
    readText(raw, part('packing')),
  ]);
  const config = weightParams(raw);
  const named = bits ?? (typeof config?.nbits === 'number' ? config.nbits : undefined);
  return { shape, axis, packing: hqqPacking(weight, text, named) };
}

/** `quant_config.weight_quant_params` */
function weightParams({ quantisation }: RawCheckpoint): { nbits?: unknown } | undefined {
  const config = quantisation?.quant_config as { weight_quant_params?: unknown } | null | undefined;
  const params = config?.weight_quant_params;
  return typeof params === 'object' && params !== null ? params : undefined;
}

async function readShape(raw: RawCheckpoint, tensor: MetaTensor): Promise<Meta['shape']> {
  checkDType(tensor, ['I64', 'I32']);
  if (tensor.elementCount !== 2) malformed(tensor, `it has ${tensor.elementCount} numbers, expected 2: only matrices`);
  const { buffer, byteOffset, byteLength } = await raw.read(tensor);
  const view = new DataView(buffer, byteOffset, byteLength);
  const at = (i: number) =>
    tensor.dtype === 'I64' ? Number(view.getBigInt64(8 * i, true)) : view.getInt32(4 * i, true);
  const [rows, columns] = [at(0), at(1)];
  const isCount = (size: number) => Number.isSafeInteger(size) && size > 0;
  if (!isCount(rows) || !isCount(columns) || !Number.isSafeInteger(rows * columns)) {
    malformed(tensor, `it says [${rows}, ${columns}], which is no matrix`);
  }
  return [rows, columns];
}

async function readNumber(raw: RawCheckpoint, tensor: MetaTensor | undefined): Promise<number | undefined> {
  if (tensor === undefined) return undefined;
  checkDType(tensor, ['I32', 'I64', 'U8', 'F32']);
  checkCount(tensor, 1);
  const { buffer, byteOffset, byteLength } = await raw.read(tensor);
  const view = new DataView(buffer, byteOffset, byteLength);
  if (tensor.dtype === 'U8') return view.getUint8(0);
  if (tensor.dtype === 'F32') return view.getFloat32(0, true);
  return tensor.dtype === 'I32' ? view.getInt32(0, true) : Number(view.getBigInt64(0, true));
}

async function readText(raw: RawCheckpoint, tensor: MetaTensor | undefined): Promise<string | undefined> {
  if (tensor === undefined) return undefined;
  checkDType(tensor, ['U8']);
  if (tensor.elementCount > LONGEST_TEXT)
    malformed(tensor, `it has ${tensor.elementCount} characters, expected a name`);
  return Buffer.from(await raw.read(tensor)).toString('latin1');
}

interface Grouped {
  /** The matrix as HQQ cuts it into groups: one to a row (axis 1), or to a column (axis 0). */
  readonly rows: number;
  readonly columns: number;
  /** Rows of it in each part of the bits. */
  readonly partRows: number;
}

/** By the shape of the codes, whose last dimension is not packed. */
function groupedOf(weight: MetaTensor, [n, k]: Meta['shape'], packing: HqqPacking): Grouped {
  const { dtype, perElement } = packing;
  const size = dtype === 'I32' ? 4 : 1;
  const [partRows = 0, wide = 0] = weight.shape;
  const fail = (): never =>
    malformed(
      weight,
      `it is ${weight.dtype} [${weight.shape.join(', ')}], which are no ${dtype} codes of ${packing.bits} bits for a ` +
        `matrix of shape [${n}, ${k}]`,
    );
  if (weight.shape.length !== 2 || weight.elementCount === 0) fail();
  // `view_as_float`: the same bytes, called floats.
  const isViewed = ['F32', 'F16', 'BF16'].includes(weight.dtype);
  if (!isViewed && weight.dtype !== dtype) fail();
  const columns = (wide * (weight.byteLength / weight.elementCount)) / size;
  const rows = (n * k) / columns;
  const isExact = dtype === 'I32' ? Math.ceil(rows / perElement) === partRows : rows === partRows * perElement;
  if (!Number.isInteger(columns) || !Number.isInteger(rows) || !isExact) fail();
  return { rows, columns, partRows };
}
