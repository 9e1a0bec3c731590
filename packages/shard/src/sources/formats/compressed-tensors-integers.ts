import type { PackedFormat } from '@airllm/kernels';
import type { MetaTensor } from '@airllm/loader';
import type { CompressedTensorsParams, ZeroPacking } from '../codecs/compressed-tensors';
import type { RawCheckpoint, SourceTensor } from '../source';
import { actOrder } from './compressed-tensors-order';
import { blockOf, scaleNumbers } from './compressed-tensors-scales';
import type { Schemes } from './compressed-tensors-schemes';
import { type ConstantPool, constantVector } from './shared/constants';
import { type BlockShape, matrixShape, scaleCounts } from './shared/scaled';
import {
  checkCount,
  checkDType,
  checkShape,
  companion,
  malformed,
  packed,
  unsupported,
  viewed,
} from './shared/tensors';

/** Zero points are read, to see whether they are all zero, up to so many. */
const MOST_ZEROS = 2 ** 20;

/** Codes of integers, however they are stored. */
interface Codes {
  readonly weight: MetaTensor;
  readonly shape: BlockShape;
  readonly bits: number;
  readonly signed: boolean;
  readonly rowWords: number;
  readonly perWord?: number;
}

export interface Module {
  /** `model.layers.0.mlp.up_proj` */
  readonly name: string;
  readonly raw: RawCheckpoint;
  readonly schemes: Schemes;
  readonly pool: ConstantPool;
}

/**
 * `weight_packed` I32 `[N, words]`: codes with an offset of half their range, low bits first, so that the zero point is
 * that half where there is no other. Codes of 4 and 8 bits run in place.
 */
export async function packedIntegers(module: Module, weight: MetaTensor): Promise<SourceTensor> {
  const { name, raw, schemes } = module;
  if (weight.shape.length === 3) {
    unsupported(raw, `${weight.name} holds a stack of matrices; use an upload with one weight per expert`);
  }
  const [rows, rowWords] = matrixShape(weight);
  const shape = await logicalShape(raw, companion(raw, weight, `${name}.weight_shape`), rows);
  const packing = packingOf(weight, shape, rowWords, schemes, raw.tensors.get(`${name}.weight_zero_point`));
  return integers(module, { weight, shape, signed: false, rowWords, ...packing });
}

/** `weight` I8 `[N, K]`: in place without zero points, or where all are 0. */
export async function plainIntegers(module: Module, weight: MetaTensor): Promise<SourceTensor> {
  return integers(module, { weight, shape: matrixShape(weight), bits: 8, signed: true, rowWords: 0 });
}

async function integers(module: Module, codes: Codes): Promise<SourceTensor> {
  const { raw, schemes, pool } = module;
  const { weight, shape, bits, signed } = codes;
  const name = `${module.name}.weight`;
  const [rows, columns] = shape;
  const scales = companion(raw, weight, `${module.name}.weight_scale`);
  const { numbers: scale, table8 } = scaleNumbers(scales);
  const block = blockOf(shape, scales, schemes);
  const counts = scaleCounts(shape, block);
  const zeros = await zeroPoints(raw, `${module.name}.weight_zero_point`, codes, block);
  const order = await actOrder(raw, block[0] === 1 ? raw.tensors.get(`${module.name}.weight_g_idx`) : undefined, {
    columns,
    groups: counts[1],
    size: block[1],
  });
  const width = bits <= 4 && columns % 2 === 0 ? 4 : 8;
  const isWhole = signed || (bits === width && (rows * columns * width) / 8 === weight.byteLength);
  const inPlace = isWhole && zeros === null && order.kind === 'in order';
  const half = 2 ** (bits - 1);
  const format: PackedFormat = {
    ...(width === 4 ? { code: 'u4', nibbles: 'low' } : { code: inPlace && signed ? 'i8' : 'u8' }),
    block: { rows: block[0], columns: block[1] },
    scale,
    ...(!(inPlace && signed) && { zero: zeros === null ? half : { dtype: 'U8' } }),
    ...(order.kind === 'permuted' && { columns: true }),
  };
  const scaleShape = block[0] === 1 ? counts : [counts[0] * counts[1]];
  if (inPlace) {
    const components = {
      codes: signed ? weight : viewed(weight, { dtype: 'U8', shape: [rows, (columns * width) / 8] }),
      scales: viewed(scales, { dtype: scale.dtype, shape: scaleShape }),
      ...(table8 && { constants: pool.tensor(`${name}.constants`, format, { table8 }) }),
    };
    return packed(weight, { name, shape, format, components });
  }
  if (order.kind === 'irregular' && table8 !== undefined) {
    unsupported(
      raw,
      `${name} has groups of unequal size and scales in ${scales.dtype}; use an upload without actorder`,
    );
  }
  const params: CompressedTensorsParams = {
    bits,
    width,
    signed,
    rowWords: codes.rowWords,
    ...(codes.perWord !== undefined && { perWord: codes.perWord }),
    scaleRowBytes: block[0] === 1 ? scales.byteLength / rows : null,
    zeros: zeros?.packing ?? null,
    groups: counts[1],
    scale: scale.dtype,
    order: order.kind,
  };
  return {
    kind: 'conversion',
    name,
    shape,
    codec: 'compressed-tensors',
    params,
    inputs: { weight, scales, ...(zeros && { zeros: zeros.tensor }), ...(order.tensor && { g_idx: order.tensor }) },
    output:
      order.kind === 'irregular'
        ? { dtype: 'F32' }
        : { format, ...(table8 && { constants: constantVector(format, { table8 }) }) },
  };
}

/** `weight_shape`: `[N, K]`, since the last word of a row may hold fewer codes than it could. */
async function logicalShape(raw: RawCheckpoint, tensor: MetaTensor, rows: number): Promise<BlockShape> {
  checkDType(tensor, ['I64', 'I32']);
  checkCount(tensor, 2);
  const bytes = await raw.read(tensor);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [n, k] = [0, 1].map((i) =>
    tensor.dtype === 'I64' ? Number(view.getBigInt64(8 * i, true)) : view.getInt32(4 * i, true),
  );
  if (n !== rows || !Number.isSafeInteger(k) || k! < 1) {
    malformed(tensor, `it says [${n}, ${k}], expected [${rows}, columns]`);
  }
  return [rows, k!];
}

type Packing = Pick<Codes, 'bits' | 'perWord'>;

/** By width: dense since 2026, before that as many whole codes as a word holds. Zero points were packed likewise. */
function packingOf(
  weight: MetaTensor,
  [rows, columns]: BlockShape,
  rowWords: number,
  schemes: Schemes,
  zeros: MetaTensor | undefined,
): Packing {
  const bits = schemes.bits.length > 0 ? schemes.bits : [4, 8, 3, 2, 6, 5, 7, 1];
  const all = bits.flatMap((bits): Packing[] => [{ bits }, { bits, perWord: Math.floor(32 / bits) }]);
  const fits = all.filter((packing) => wordsOf(packing, columns) === rowWords);
  const words = zeros?.dtype === 'I32' ? zeros.shape[0] : undefined;
  const found = fits.find((packing) => words === undefined || wordsOf(packing, rows) === words) ?? fits[0];
  return (
    found ??
    malformed(
      weight,
      `it has ${rowWords} words in a row of ${columns} codes, which are not of ${schemes.bits.join(' or ') || '1 to 8'} bits`,
    )
  );
}

function wordsOf({ bits, perWord }: Packing, count: number): number {
  return perWord === undefined ? Math.ceil((count * bits) / 32) : Math.ceil(count / perWord);
}

/** Zero points that matter; null without any, or where all are 0. */
async function zeroPoints(
  raw: RawCheckpoint,
  name: string,
  codes: Codes,
  block: BlockShape,
): Promise<{ tensor: MetaTensor; packing: ZeroPacking } | null> {
  const tensor = raw.tensors.get(name);
  if (tensor === undefined) return null;
  const [rows, groups] = scaleCounts(codes.shape, block);
  if (tensor.dtype === 'I8') {
    checkCount(tensor, rows * groups);
    const isZero = tensor.byteLength <= MOST_ZEROS && (await raw.read(tensor)).every((zero) => zero === 0);
    return isZero ? null : { tensor, packing: { kind: 'signed' } };
  }
  const { bits, perWord, signed } = codes;
  if (signed || block[0] !== 1) checkDType(tensor, ['I8']);
  checkDType(tensor, ['I32', 'I8']);
  const packing: Packing = perWord === undefined ? { bits } : { bits, perWord };
  checkShape(tensor, [wordsOf(packing, rows), groups]);
  return { tensor, packing: { kind: 'packed', ...(perWord !== undefined && { perWord }) } };
}
