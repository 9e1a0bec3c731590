import type { MetaTensor } from '@airllm/loader';
import type { RawCheckpoint } from '../source';
import { malformed } from './shared/tensors';

/** Bits of MLX's affine codes, and how many weights share a scale. */
export interface AffinePacking {
  readonly bits: number;
  readonly group: number;
}

const AFFINE_BITS: readonly number[] = [2, 3, 4, 5, 6, 8];
const GROUPS: readonly number[] = [16, 32, 64, 128];
/** What MLX takes where the entry of a module leaves it out. */
const DEFAULT: AffinePacking = { bits: 4, group: 64 };

/**
 * How a weight of `words` words in a row and `groups` scales was packed. A row of 4-bit codes in groups of 64 is as long
 * as one of 8 bits in groups of 32, so the configuration is asked: for this module, then for all. Where neither fits, the
 * sizes of the model's layers have to tell.
 */
export function affinePacking(
  raw: RawCheckpoint,
  weight: MetaTensor,
  module: string,
  { words, groups }: { words: number; groups: number },
): AffinePacking {
  const quantisation = quantisationOf(raw);
  const named = [packingOf(quantisation?.[module], DEFAULT), packingOf(quantisation, {})];
  const fits = ({ bits, group }: AffinePacking) => bits * group * groups === 32 * words;
  const found = named.find((packing) => packing !== undefined && fits(packing));
  if (found !== undefined) return found;
  const all = AFFINE_BITS.flatMap((bits) => GROUPS.map((group) => ({ bits, group }))).filter(fits);
  const sizes = layerSizes(raw.config);
  const sized = all.filter(({ group }) => sizes.has(groups * group));
  if (sized.length === 1) return sized[0]!;
  const told = named.find((packing) => packing !== undefined);
  const config = told ? `${told.bits} bits in groups of ${told.group}` : 'nothing';
  return malformed(
    weight,
    `${words} words and ${groups} scales in a row do not fit what the configuration says (${config})` +
      `${all.length > 0 ? ', and its layers do not tell either' : ''}`,
  );
}

/** MLX's own key goes first: the other may be that of the model it was made from. */
function quantisationOf({ config, quantisation }: RawCheckpoint): Record<string, unknown> | null {
  const own = config?.quantization;
  return typeof own === 'object' && own !== null ? (own as Record<string, unknown>) : quantisation;
}

/** Of the configuration, or of an entry in it; entries may say no more than yes or no. */
function packingOf(entry: unknown, missing: Partial<AffinePacking>): AffinePacking | undefined {
  if (typeof entry !== 'object' || entry === null) return undefined;
  const { bits = missing.bits, group_size: group = missing.group } = entry as { bits?: unknown; group_size?: unknown };
  const isEven = typeof group === 'number' && group > 0 && group % 2 === 0;
  return isEven && AFFINE_BITS.includes(bits as number) ? { bits: bits as number, group } : undefined;
}

/** Every size that the configuration speaks of, of the language model too, and the widths of its attention. */
function layerSizes(config: Record<string, unknown> | null): ReadonlySet<number> {
  const sizes = new Set<number>();
  for (const part of [config, config?.text_config]) {
    if (typeof part !== 'object' || part === null) continue;
    const numbers = new Map(Object.entries(part).filter(([, value]) => Number.isSafeInteger(value) && value > 0));
    for (const size of numbers.values()) sizes.add(size);
    const heads = numbers.get('num_attention_heads');
    if (heads !== undefined && numbers.has('head_dim')) sizes.add(heads * numbers.get('head_dim')!);
  }
  return sizes;
}
