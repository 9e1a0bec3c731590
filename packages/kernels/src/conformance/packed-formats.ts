import type { PackedFormat } from '../packed/format';
import { E2M1, E4M3, E8M0, SIGNED, UNSIGNED } from '../packed/numbers';
import type { PackedExample } from '../testing/packed';

// Each way in which published models are quantised, by the executor format that it is held in, and some that none is.

/** Quantiles of the normal distribution, as bitsandbytes has them. */
const NF4 = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

/** Its FP4: the numbers without a sign, by code. */
const FP4 = [0, 1 / 192, 2 / 3, 1, 1 / 3, 1 / 2, 1 / 6, 1 / 4];

const row = (columns: number) => ({ rows: 1, columns });
const WHOLE_ROW = row(1 << 20);

/** Its blocks are those of the matrix, whatever its size. */
const ALL = { rows: 1 << 20, columns: 1 << 20 };

function u4(rest: Omit<PackedFormat, 'code' | 'nibbles'>): PackedFormat {
  return { code: 'u4', nibbles: 'low', ...rest };
}

export const packedExamples: readonly PackedExample[] = [
  { name: 'Q4_0', format: u4({ block: row(32), scale: { dtype: 'F16' }, zero: 8 }), size: 5 },
  { name: 'Q4_1', format: u4({ block: row(32), scale: { dtype: 'F16' }, offset: { dtype: 'F16' } }), size: 9 },
  {
    name: 'GPTQ',
    format: u4({ block: row(128), scale: { dtype: 'F16' }, zero: { dtype: 'U8' }, columns: true }),
    mostZero: 16,
    size: 6,
  },
  { name: 'AWQ', format: u4({ block: row(64), scale: { dtype: 'F16' }, zero: { dtype: 'U8' } }), size: 6 },
  { name: 'HQQ', format: u4({ block: row(64), scale: { dtype: 'F16' }, zero: { dtype: 'F16' } }), size: 6 },
  { name: 'MLX 4 bits', format: u4({ block: row(64), scale: { dtype: 'BF16' }, offset: { dtype: 'BF16' } }), size: 9 },
  {
    name: 'bitsandbytes NF4',
    format: { code: 'table4', nibbles: 'high', block: row(64), flat: true, scale: { dtype: 'F32' } },
    table4: NF4,
  },
  {
    name: 'bitsandbytes NF4, nested',
    format: {
      code: 'table4',
      nibbles: 'high',
      block: row(64),
      flat: true,
      scale: { dtype: 'U8', supers: { dtype: 'F32', every: 256 }, bias: true },
    },
    table4: NF4,
    table8: { values: UNSIGNED, from: 0, to: 2 },
  },
  {
    name: 'bitsandbytes FP4, rows alone',
    format: {
      code: 'table4',
      nibbles: 'high',
      block: row(64),
      scale: { dtype: 'U8', supers: { dtype: 'F32', every: 256 }, bias: true },
    },
    table4: [...FP4, ...FP4.map((value) => -value)],
    table8: { values: UNSIGNED, from: 0, to: 2 },
  },
  {
    name: 'MXFP4',
    format: { code: 'table4', nibbles: 'low', block: row(32), scale: { dtype: 'U8' } },
    table4: E2M1,
    table8: { values: E8M0, from: 119, to: 124 },
  },
  {
    name: 'NVFP4',
    format: { code: 'table4', nibbles: 'low', block: row(16), scale: { dtype: 'U8' } },
    table4: E2M1,
    table8: { values: E4M3.map((value) => value * 0.003), from: 30, to: 100 },
  },
  {
    name: 'Q4_K',
    format: u4({
      block: row(32),
      scale: { dtype: 'U8', supers: { dtype: 'F16', every: 8 } },
      offset: { dtype: 'U8', supers: { dtype: 'F16', every: 8 } },
    }),
    table8: { values: UNSIGNED, from: 0, to: 64 },
    size: 200,
  },
  {
    name: 'Q2_K',
    format: u4({
      block: row(16),
      scale: { dtype: 'U8', supers: { dtype: 'F16', every: 16 } },
      offset: { dtype: 'U8', supers: { dtype: 'F16', every: 16 } },
    }),
    table8: { values: UNSIGNED, from: 0, to: 16 },
    size: 80,
  },
  {
    name: 'Q6_K',
    format: { code: 'i8', block: row(16), scale: { dtype: 'U8', supers: { dtype: 'F16', every: 16 } } },
    table8: { values: SIGNED, from: 0, to: 256 },
    size: 4000,
  },
  { name: 'Q8_0', format: { code: 'i8', block: row(32), scale: { dtype: 'F16' } }, size: 70 },
  { name: 'LLM.int8', format: { code: 'i8', block: WHOLE_ROW, scale: { dtype: 'F32' } }, size: 70 },
  {
    name: 'MLX 8 bits',
    format: { code: 'u8', block: row(64), scale: { dtype: 'BF16' }, offset: { dtype: 'BF16' } },
    size: 150,
  },
  {
    name: 'GPTQ 8 bits',
    format: { code: 'u8', block: row(32), scale: { dtype: 'F16' }, zero: { dtype: 'U8' }, columns: true },
    mostZero: 255,
    size: 100,
  },
  { name: '8 bits around 128', format: { code: 'u8', block: row(128), scale: { dtype: 'F16' }, zero: 128 }, size: 70 },
  {
    name: 'FP8 blocks',
    format: { code: 'e4m3', block: { rows: 128, columns: 128 }, scale: { dtype: 'F32' } },
    size: 100,
  },
  {
    name: 'FP8 blocks, BF16',
    format: { code: 'e4m3', block: { rows: 32, columns: 48 }, scale: { dtype: 'BF16' } },
    size: 100,
  },
  { name: 'FP8 rows', format: { code: 'e4m3', block: WHOLE_ROW, scale: { dtype: 'BF16' } }, size: 100 },
  { name: 'FP8 tensor', format: { code: 'e4m3', block: ALL, scale: { dtype: 'F32' } }, size: 100 },
  {
    name: 'MXFP8',
    format: { code: 'e4m3', block: row(32), scale: { dtype: 'U8' } },
    table8: { values: E8M0, from: 112, to: 118 },
  },
  // No one's, but allowed.
  { name: 'blocks of 3', format: u4({ block: row(3), scale: { dtype: 'F32' }, zero: { dtype: 'F32' } }), size: 6 },
  {
    name: 'flat blocks of 10, two rows of supers',
    format: u4({
      block: row(10),
      flat: true,
      scale: { dtype: 'BF16', supers: { dtype: 'BF16', every: 3 } },
      offset: { dtype: 'F32' },
    }),
    size: 9,
  },
  {
    name: 'flat bytes, all parts',
    format: {
      code: 'u8',
      block: row(24),
      flat: true,
      scale: { dtype: 'F16' },
      zero: { dtype: 'BF16' },
      offset: { dtype: 'U8', supers: { dtype: 'F32', every: 5 } },
      columns: true,
    },
    table8: { values: SIGNED, from: 0, to: 256 },
    size: 150,
  },
];

/** The format with blocks no larger than a matrix: what a block covers beyond it is not there. */
export function fitted(example: PackedExample, [rows, columns]: readonly [number, number]): PackedExample {
  const { format } = example;
  const block = { rows: Math.min(format.block.rows, rows), columns: Math.min(format.block.columns, columns) };
  return { ...example, format: { ...format, block: format.flat ? format.block : block } };
}
