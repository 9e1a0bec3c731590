import type { RawCheckpoint } from '../source';
import type { BlockShape } from './shared/scaled';
import { badConfig, unsupported } from './shared/tensors';

/** What the groups of a configuration say of weights; what a tensor's shape leaves open is looked up here. */
export interface Schemes {
  /** Of integer codes; empty where nothing is said. */
  readonly bits: readonly number[];
  /** Weights in a row that share a scale. */
  readonly groups: readonly number[];
  readonly blocks: readonly BlockShape[];
}

type Config = Record<string, unknown>;

/** Groups of one configuration; real ones have up to four. */
const MOST_GROUPS = 1000;
/** Formats of sparse weights that older releases could write. */
const SPARSE: readonly unknown[] = ['marlin-24', 'sparse-24-bitmask', 'sparse-bitmask'];

/** The configuration, which was nested while the library was young. */
export function compressionConfig({ quantisation }: Pick<RawCheckpoint, 'quantisation'>): Config | null {
  const inner = quantisation?.quantization_config;
  return isRecord(inner) ? inner : quantisation;
}

/** Throws `FormatError` for groups that make no sense, `UnsupportedCheckpointError` for what weights cannot tell. */
export function readSchemes(raw: RawCheckpoint): Schemes {
  const config = compressionConfig(raw);
  const groups = config?.config_groups ?? {};
  if (!isRecord(groups)) badConfig(raw, `config_groups is ${JSON.stringify(groups)}, expected an object`);
  const entries = Object.entries(groups).slice(0, MOST_GROUPS);
  refuseTransforms(raw, config);
  const bits = new Set<number>();
  const sizes = new Set<number>();
  const blocks: BlockShape[] = [];
  for (const part of [config, ...Object.values(groups)]) {
    const format = isRecord(part) ? part.format : undefined;
    if (SPARSE.includes(format)) refuseSparse(raw, String(format));
  }
  for (const [name, group] of entries) {
    const weights = isRecord(group) ? group.weights : undefined;
    // Schemes of names ("W4A16": targets) say it in the tensors' shapes alone.
    if (!isRecord(weights)) continue;
    const { num_bits: count, type = 'int', group_size: size, block_structure: block } = weights;
    const whole = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;
    if (!whole(count) || (count as number) > 8) {
      badConfig(raw, `config_groups.${name}.weights.num_bits is ${JSON.stringify(count)}, expected 1 to 8`);
    }
    if (type === 'int') bits.add(count as number);
    if (whole(size)) sizes.add(size as number);
    if (Array.isArray(block)) {
      if (block.length !== 2 || !block.every(whole)) {
        badConfig(
          raw,
          `config_groups.${name}.weights.block_structure is ${JSON.stringify(block)}, expected two counts`,
        );
      }
      blocks.push(block as unknown as BlockShape);
    }
  }
  return { bits: [...bits], groups: [...sizes], blocks };
}

export function refuseSparse(raw: RawCheckpoint, format: string): never {
  return unsupported(
    raw,
    `sparse weights in the format ${format}; use an upload of the model that is quantised without sparsity`,
  );
}

/** Rotations that activations need at run time; those that are folded into the weights leave none behind. */
function refuseTransforms(raw: RawCheckpoint, config: Config | null): void {
  const transforms = config?.transform_config;
  const groups = isRecord(transforms) ? transforms.config_groups : undefined;
  if (!isRecord(groups) || Object.keys(groups).length === 0) return;
  unsupported(
    raw,
    `transform_config has ${Object.keys(groups).slice(0, 4).join(', ')}: activations are rotated at run time; ` +
      'use an upload without transforms',
  );
}

function isRecord(value: unknown): value is Config {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
