import type { MetaTensor } from '@airllm/loader';
import { malformed } from './shared/tensors';

/** How HQQ packs codes: parts of the flattened matrix one above the other in the bits of an element. */
export interface HqqPacking {
  /** Bits of a code as it lies; those of 5 and 6 take 8. */
  readonly bits: 1 | 2 | 3 | 4 | 8;
  /** Codes in an element. */
  readonly perElement: number;
  readonly dtype: 'U8' | 'I32';
}

const HQQ_PACKINGS: Readonly<Record<string, HqqPacking>> = {
  '8bit_u8': { bits: 8, perElement: 1, dtype: 'U8' },
  '4bit_u8': { bits: 4, perElement: 2, dtype: 'U8' },
  '3bit_32': { bits: 3, perElement: 10, dtype: 'I32' },
  '2bit_u8': { bits: 2, perElement: 4, dtype: 'U8' },
  '1bit_u8': { bits: 1, perElement: 8, dtype: 'U8' },
};

/** What each number of bits is packed as; 1.58 are three values in 2 bits. */
const BY_BITS: Readonly<Record<string, string>> = {
  8: '8bit_u8',
  6: '8bit_u8',
  5: '8bit_u8',
  4: '4bit_u8',
  3: '3bit_32',
  2: '2bit_u8',
  1: '1bit_u8',
};

export function hqqPacking(weight: MetaTensor, packing: string | undefined, bits: number | undefined): HqqPacking {
  const name = packing ?? (bits !== undefined && bits > 1 && bits < 2 ? '2bit_u8' : BY_BITS[String(bits)]);
  const known = name === undefined || !Object.hasOwn(HQQ_PACKINGS, name) ? undefined : HQQ_PACKINGS[name];
  const what = packing === undefined ? `${bits} bits` : `packed as ${JSON.stringify(packing)}`;
  return known ?? malformed(weight, `its codes are ${what}, expected ${Object.keys(HQQ_PACKINGS).join(', ')}`);
}
