import { basename, dirname } from 'node:path';
import { type DType, FormatError, MetaTensor, UnsupportedCheckpointError } from '@airllm/loader';
import type { Conversion, SourceTensor } from '../source';
import { ARCHITECTURE_NAMES, type ArchitectureNames, mixtral } from './architectures';
import { BLOCK_CODECS } from './blocks/block-codecs';
import { type GgufParams, ggufCodec } from './gguf-codec';
import type { Gguf } from './open-gguf';
import type { Config } from './read-config';
import type { GgufTensor } from './tensor-info';

/** Tensors that became part of the config. */
const IN_CONFIG = new Set(['rope_freqs.weight', 'rope_factors_long.weight', 'rope_factors_short.weight']);
/** 384 experts in 61 layers, the most that is published, make 70,000. */
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
    const parts = partsOf(tensor, names, gguf);
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
  /** What the odd rows are made of; these bytes then make the even ones. */
  readonly odd?: Part;
}

const INNER = /^blk\.(\d+)\.([a-z_0-9]+?)(_exps|\.\d+)?\.(weight|bias)$/;
const OUTER = /^([a-z_0-9]+)\.(weight|bias)$/;

function partsOf(tensor: GgufTensor, names: ArchitectureNames, gguf: Gguf): readonly Part[] {
  const inner = INNER.exec(tensor.name);
  const parts = inner === null ? outerParts(tensor, names) : innerParts(tensor, inner, names, gguf);
  if (parts !== undefined) return parts;
  const reason = 'it has no place in a model of this architecture that is known here';
  throw new FormatError({ file: tensor.file, tensor: tensor.name, reason });
}

function outerParts(tensor: GgufTensor, names: ArchitectureNames): Part[] | undefined {
  const [, key, suffix] = OUTER.exec(tensor.name) ?? [];
  if (key === undefined) return undefined;
  const name = own(names.outer, key);
  return name === undefined ? undefined : [whole(tensor, key, `${name}.${suffix}`)];
}

function innerParts(
  tensor: GgufTensor,
  match: RegExpExecArray,
  names: ArchitectureNames,
  gguf: Gguf,
): Part[] | undefined {
  const [, layer, key, experts, suffix] = match as unknown as [string, string, string, string | undefined, string];
  const prefix = names.layer(Number(layer));
  if (experts === undefined) {
    const name = own(names.inner, key);
    const end = names.bare?.includes(key) ? '' : `.${suffix}`;
    return name === undefined ? undefined : [whole(tensor, key, prefix + name + end)];
  }
  const expertName = own(names.experts, key);
  const nameOf = (name: (expert: number) => string) => (expert: number) => `${prefix}${name(expert)}.${suffix}`;
  if (experts !== '_exps') return expertName && [whole(tensor, key, nameOf(expertName)(Number(experts.slice(1))))];
  if (expertName) return stack(tensor, key, nameOf(expertName));
  const pair = names.interleaved;
  if (pair === undefined || (key !== pair.even && key !== pair.odd)) return undefined;
  const other = twin(tensor, gguf, key === pair.even ? [pair.even, pair.odd] : [pair.odd, pair.even]);
  // The even rows' stack makes both.
  if (key === pair.odd) return [];
  const odd = stack(other, pair.odd, nameOf(pair.name));
  return stack(tensor, key, nameOf(pair.name)).map((part, expert) => ({ ...part, odd: odd[expert]! }));
}

/** The other stack of a pair, which must be alike. */
function twin(tensor: GgufTensor, gguf: Gguf, [key, otherKey]: [string, string]): GgufTensor {
  const name = tensor.name.replace(`.${key}_exps.`, `.${otherKey}_exps.`);
  const other = gguf.tensors.get(name);
  const alike = other?.type === tensor.type && other.shape.join() === tensor.shape.join();
  if (other !== undefined && alike) return other;
  const reason = `${name}, which belongs to it, is missing or of another type or shape`;
  throw new FormatError({ file: tensor.file, tensor: tensor.name, reason });
}

function own<T>(table: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return table !== undefined && Object.hasOwn(table, key) ? table[key] : undefined;
}

function whole(stored: GgufTensor, key: string, name: string): Part {
  const { shape, offset, byteLength } = stored;
  return { name, stored, key, shape, offset, byteLength };
}

/** `[experts, out, in]`, or `[experts, out]` of biases: one expert after the other. */
function stack(stored: GgufTensor, key: string, name: (expert: number) => string): Part[] {
  const [experts, ...shape] = stored.shape as [number, ...number[]];
  const fail = (reason: string): never => {
    throw new FormatError({ file: stored.file, tensor: stored.name, reason });
  };
  if (shape.length !== (stored.name.endsWith('.bias') ? 1 : 2)) {
    fail(`expected a stack of one per expert, found shape [${stored.shape.join(', ')}]`);
  }
  if (experts > MAX_TENSORS) fail(`${experts} experts: more than ${MAX_TENSORS}`);
  const byteLength = stored.byteLength / experts;
  return Array.from({ length: experts }, (_, e) => {
    return { name: name(e), stored, key, shape, offset: stored.offset + e * byteLength, byteLength };
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
  const { name, stored, odd } = part;
  const { type } = stored;
  const dtype = own(DENSE, type.name);
  const codec = own(BLOCK_CODECS, type.name);
  const permuted = own(names.rows, part.key) !== undefined;
  const norm = names.normsPlusOne === true && part.key.endsWith('norm');
  if (dtype !== undefined && !permuted && !norm && !odd) return metaTensor(part, name, dtype, part.shape);
  if (dtype === undefined && codec === undefined) throw unsupported(stored);
  checkRows(part, { dense: dtype !== undefined, permuted, norm, headWidth });
  const params: GgufParams = {
    type: type.name,
    blockValues: type.blockValues,
    blockBytes: type.blockBytes,
    ...(permuted ? { headDim: headWidth } : {}),
    ...(odd ? { interleaved: true } : {}),
    // Gemma's norms multiply by 1 + w, and ggml stores the sum.
    ...(norm ? { plus: -1 } : {}),
  };
  const { format, constants } = codec ?? {};
  const bytesOf = (from: Part) => metaTensor(from, from.stored.name, 'U8', [from.byteLength]);
  return {
    kind: 'conversion',
    name,
    shape: odd ? [2 * part.shape[0]!, ...part.shape.slice(1)] : part.shape,
    codec: ggufCodec.name,
    params,
    inputs: { blocks: bytesOf(part), ...(odd ? { odd: bytesOf(odd) } : {}) },
    output: dtype !== undefined ? { dtype } : { format: format!, ...(constants === undefined ? {} : { constants }) },
  } satisfies Conversion;
}

/** Throws `FormatError` where the rows cannot become what is wanted. */
function checkRows(
  { stored, shape }: Part,
  is: { dense: boolean; permuted: boolean; norm: boolean; headWidth: number },
): void {
  const fail = (reason: string): never => {
    throw new FormatError({ file: stored.file, tensor: stored.name, reason });
  };
  const { name: type } = stored.type;
  if (!is.dense && shape.length !== 2) fail(`a ${type} tensor must be a matrix, found [${shape.join(', ')}]`);
  if (is.permuted && (is.headWidth % 2 !== 0 || shape[0]! % is.headWidth !== 0)) {
    fail(`${shape[0]} rows are not whole heads of ${is.headWidth}`);
  }
  if (is.norm && type !== 'F32') fail(`norm weights must be F32, found ${type}`);
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
