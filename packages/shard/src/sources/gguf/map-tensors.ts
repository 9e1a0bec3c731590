import { basename, dirname } from 'node:path';
import { type DType, FormatError, MetaTensor, UnsupportedCheckpointError } from '@airllm/loader';
import type { Conversion, SourceTensor } from '../source';
import { ARCHITECTURE_NAMES, type ArchitectureNames, mixtral } from './architectures';
import { BLOCK_CODECS } from './blocks/block-codecs';
import { type GgufParams, ggufCodec } from './gguf-codec';
import type { Gguf } from './open-gguf';
import type { Config } from './read-config';
import type { GgufTensor } from './read-header';

/** Tensors that became part of the config. */
const IN_CONFIG = new Set(['rope_freqs.weight', 'rope_factors_long.weight', 'rope_factors_short.weight']);
/** The largest known models have 70,000 (384 experts in 61 layers). */
const MAX_TENSORS = 100_000;
const DENSE: Readonly<Record<string, DType>> = { F32: 'F32', F16: 'F16', BF16: 'BF16' };

/**
 * The model's tensors under the names and in the layout of transformers. Dense ones whose rows are in order are used
 * where they lie. Throws `FormatError` naming a tensor that has no place in the model or a shape it cannot have, and
 * `UnsupportedCheckpointError` for a type that is not supported.
 */
export function mapTensors(gguf: Gguf, config: Config): Map<string, SourceTensor> {
  const names = namesOf(gguf, config);
  const heads = headWidths(config);
  const tensors = new Map<string, SourceTensor>();
  const inOrder = [...gguf.tensors.values()].sort((a, b) => fileOrder(gguf, a, b));
  for (const tensor of inOrder) {
    if (IN_CONFIG.has(tensor.name)) continue;
    const parts = partsOf(tensor, names);
    if (tensors.size + parts.length > MAX_TENSORS) {
      const reason = `with its ${parts.length} experts the model has more than ${MAX_TENSORS} tensors`;
      throw new FormatError({ file: tensor.file, tensor: tensor.name, reason });
    }
    for (const part of parts) tensors.set(part.name, sourceTensor(part, names, heads));
  }
  return tensors;
}

/** Tensors of a file that describes no model: under their own names, with rows in ggml's order. */
export function unmappedTensors(gguf: Gguf): Map<string, SourceTensor> {
  const tensors = [...gguf.tensors.values()].sort((a, b) => fileOrder(gguf, a, b));
  return new Map(tensors.map((tensor) => [tensor.name, sourceTensor(whole(tensor, '', tensor.name), {}, 1)]));
}

function fileOrder(gguf: Gguf, a: GgufTensor, b: GgufTensor): number {
  return gguf.files.indexOf(a.file) - gguf.files.indexOf(b.file) || a.offset - b.offset;
}

function namesOf(gguf: Gguf, config: Config): ArchitectureNames {
  if (config.model_type === 'mixtral') return mixtral;
  return ARCHITECTURE_NAMES[gguf.metadata.requiredString('general.architecture')]!;
}

/** A tensor of the model, and the bytes that make it: a stored tensor, or one expert of a stack. */
interface Part {
  readonly name: string;
  readonly stored: GgufTensor;
  /** What stands behind `blk.N.`, or the whole name, without `.weight`. */
  readonly key: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly byteLength: number;
}

const INNER = /^blk\.(\d+)\.([a-z_0-9]+?)(?:_exps|\.(\d+))?\.(weight|bias)$/;
const OUTER = /^([a-z_0-9]+)\.(weight|bias)$/;

function partsOf(tensor: GgufTensor, names: ArchitectureNames): readonly Part[] {
  const inner = INNER.exec(tensor.name);
  if (inner !== null) {
    const [, layer, key, expert, suffix] = inner as unknown as [string, string, string, string | undefined, string];
    const prefix = names.layer(Number(layer));
    const expertName = own(names.experts, key);
    if (tensor.name.endsWith('_exps.weight') && expertName) return stack(tensor, key, (e) => prefix + expertName(e));
    if (expert !== undefined && expertName)
      return [whole(tensor, key, `${prefix}${expertName(Number(expert))}.${suffix}`)];
    const name = own(names.inner, key);
    const plain = expert === undefined && !tensor.name.includes('_exps.');
    if (name !== undefined && plain) return [whole(tensor, key, `${prefix}${name}.${suffix}`)];
  }
  const outer = OUTER.exec(tensor.name);
  const name = outer === null ? undefined : own(names.outer, outer[1]!);
  if (name !== undefined) return [whole(tensor, outer![1]!, `${name}.${outer![2]}`)];
  const reason = 'it has no place in a model of this architecture that is known here';
  throw new FormatError({ file: tensor.file, tensor: tensor.name, reason });
}

function own<T>(table: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return table !== undefined && Object.hasOwn(table, key) ? table[key] : undefined;
}

function whole(stored: GgufTensor, key: string, name: string): Part {
  const { shape, offset, byteLength } = stored;
  return { name, stored, key, shape, offset, byteLength };
}

/** `[experts, out, in]`: one matrix after the other. */
function stack(stored: GgufTensor, key: string, name: (expert: number) => string): Part[] {
  const [experts, ...shape] = stored.shape as [number, ...number[]];
  if (shape.length !== 2) {
    const reason = `expected [experts, out, in], found [${stored.shape.join(', ')}]`;
    throw new FormatError({ file: stored.file, tensor: stored.name, reason });
  }
  if (experts > MAX_TENSORS) {
    throw new FormatError({
      file: stored.file,
      tensor: stored.name,
      reason: `${experts} experts: more than ${MAX_TENSORS}`,
    });
  }
  const byteLength = stored.byteLength / experts;
  return Array.from({ length: experts }, (_, e) => {
    return { name: `${name(e)}.weight`, stored, key, shape, offset: stored.offset + e * byteLength, byteLength };
  });
}

/** Width of the heads of queries and keys, which are alike, if rows of an architecture are permuted by heads. */
function headWidths(config: Config): number {
  return Number(config.head_dim ?? Number(config.hidden_size) / Number(config.num_attention_heads));
}

function sourceTensor(
  part: Part,
  names: Pick<ArchitectureNames, 'rows' | 'normsPlusOne'>,
  headWidth: number,
): SourceTensor {
  const { name, stored, shape } = part;
  const { type } = stored;
  const dtype = own(DENSE, type.name);
  const permuted = own(names.rows, part.key) !== undefined;
  const norm = names.normsPlusOne === true && part.key.endsWith('norm');
  if (dtype !== undefined && !permuted && !norm) return metaTensor(part, name, dtype, shape);
  const codec = own(BLOCK_CODECS, type.name);
  if (dtype === undefined && codec === undefined) throw unsupported(stored);
  const fail = (reason: string): never => {
    throw new FormatError({ file: stored.file, tensor: stored.name, reason });
  };
  if (dtype === undefined && shape.length !== 2)
    fail(`a ${type.name} tensor must be a matrix, found [${shape.join(', ')}]`);
  if (permuted && (headWidth % 2 !== 0 || shape[0]! % headWidth !== 0)) {
    fail(`${shape[0]} rows are not whole heads of ${headWidth}`);
  }
  if (norm && dtype !== 'F32') fail(`norm weights must be F32, found ${type.name}`);
  const params: GgufParams = {
    type: type.name,
    blockValues: type.blockValues,
    blockBytes: type.blockBytes,
    ...(permuted ? { headDim: headWidth } : {}),
    // Gemma's norms multiply by 1 + w, and ggml stores the sum.
    ...(norm ? { plus: -1 } : {}),
  };
  const { format, constants } = codec ?? {};
  return {
    kind: 'conversion',
    name,
    shape,
    codec: ggufCodec.name,
    params,
    inputs: { blocks: metaTensor(part, stored.name, 'U8', [part.byteLength]) },
    output: dtype !== undefined ? { dtype } : { format: format!, ...(constants === undefined ? {} : { constants }) },
  } satisfies Conversion;
}

function metaTensor(part: Part, name: string, dtype: DType, shape: readonly number[]): MetaTensor {
  const extent = { file: part.stored.file, offset: part.offset, length: part.byteLength };
  return new MetaTensor({ name, dtype, shape, extent });
}

function unsupported({ file, name, type }: GgufTensor): UnsupportedCheckpointError {
  const supported = [...Object.keys(DENSE), ...Object.keys(BLOCK_CODECS)].join(', ');
  const reason = `tensor "${name}" in ${basename(file)} has type ${type.name}, which is not supported; quantise the model to one of ${supported}`;
  return new UnsupportedCheckpointError({ dir: dirname(file), found: [basename(file)], reason });
}
