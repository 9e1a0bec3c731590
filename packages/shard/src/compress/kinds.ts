import type { PackedFormat } from '@airllm/kernels';

/** What a split can make of dense weights. */
export type Compression = '8bit' | '4bit' | 'nf4';

export const COMPRESSIONS: readonly Compression[] = ['8bit', '4bit', 'nf4'];

/** Weights that share a scale. */
export const BLOCK = 64;

/**
 * NF4 of QLoRA (Dettmers et al., 2023, appendix E): quantiles of a normal distribution that meet at 0, as bitsandbytes
 * rounds them.
 */
export const NF4 = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

const COMMON = { block: { rows: 1, columns: BLOCK }, scale: { dtype: 'BF16' } } as const;

/**
 * Scales are bfloat16: they reach as far as the weights do, and what their rounding costs the codes make up for, since
 * these are chosen for the rounded scale.
 */
export const COMPRESSED: Readonly<Record<Compression, PackedFormat>> = {
  '8bit': { ...COMMON, code: 'i8' },
  '4bit': { ...COMMON, code: 'u4', nibbles: 'low', zero: { dtype: 'U8' } },
  nf4: { ...COMMON, code: 'table4', nibbles: 'low' },
};
