import { stat } from 'node:fs/promises';
import { BLOCK_POSITIONS } from '@airllm/kernels';
import {
  crc32,
  FormatError,
  type MetaTensor,
  openSafetensors,
  ReadError,
  type Reader,
  type TensorSpec,
} from '@airllm/loader';
import { PromptCacheError } from '../../state-errors';
import { type CacheIdentity, differenceOf } from './identity';

const FORMAT = 'airllm-prompt-cache';
const VERSION = '1';

/** One state in a file: blocks of 32 positions as `KvState.block` has them, from `start` on. */
export interface CachedState {
  readonly name: string;
  readonly start: number;
  readonly blocks: number;
  readonly blockBytes: number;
}

/** What a file is about, beside the bytes of its states. */
export interface CacheContent {
  readonly tokens: Int32Array;
  /** `ropeClass` of all its positions. */
  readonly rope: string;
  readonly states: readonly CachedState[];
}

/** A file whose header, tokens and checksums were found good. */
export interface CacheFile extends CacheContent {
  readonly file: string;
  /** Parallel to `states`: where their bytes lie, and a CRC-32 for each block. */
  readonly tensors: readonly { readonly tensor: MetaTensor; readonly checksums: Uint32Array }[];
}

export const stateName = (layer: number, state: number) => `layers.${layer}.states.${state}`;

/** What a file consists of, in order. */
export function cacheTensors({ tokens, states }: CacheContent): TensorSpec[] {
  const blocks = states.reduce((sum, state) => sum + state.blocks, 0);
  return [
    { name: 'tokens', dtype: 'I32', shape: [tokens.length] },
    ...states.map(({ name, blocks, blockBytes }): TensorSpec => ({ name, dtype: 'U8', shape: [blocks, blockBytes] })),
    // Of the tokens, then of every block in order.
    { name: 'checksums', dtype: 'U32', shape: [1 + blocks] },
  ];
}

export function cacheMetadata(identity: CacheIdentity, { rope, states }: CacheContent): Record<string, string> {
  const starts = JSON.stringify(states.map(({ start }) => start));
  return { format: FORMAT, version: VERSION, rope, starts, identity: JSON.stringify(identity) };
}

/**
 * Opens a file; null where there is none. `reader` must not have read a file of that name before: it may be another one
 * now. Throws `PromptCacheError`.
 */
export async function openCacheFile(
  file: string,
  reader: Reader,
  identity: CacheIdentity,
  expected: readonly { readonly name: string; readonly blockBytes: number }[],
): Promise<CacheFile | null> {
  if ((await stat(file).catch(() => null)) === null) return null;
  const { tensors, metadata } = await openSafetensors(file).catch((cause: Error) => {
    if (!FormatError.isInstance(cause) && !ReadError.isInstance(cause)) throw cause;
    const why = FormatError.isInstance(cause) ? cause.reason : (cause.errno ?? 'it is cut');
    throw new PromptCacheError({ file, reason: `it is no prompt cache, or damaged: ${why}`, isCache: false, cause });
  });
  if (metadata.get('format') !== FORMAT) {
    throw new PromptCacheError({ file, reason: 'it is not a prompt cache', isCache: false });
  }
  const refuse = (reason: string) => new PromptCacheError({ file, reason, isCache: true });
  const version = metadata.get('version');
  if (version !== VERSION) throw refuse(`it has version ${version}, expected ${VERSION}`);
  const difference = differenceOf(parse(metadata.get('identity'), {}) as Partial<CacheIdentity>, identity);
  if (difference !== null) throw refuse(difference);
  const damaged = (what: string) => refuse(`it is damaged: ${what}`);

  const bytesOf = async (name: string, dtype: string) => {
    const tensor = tensors.get(name);
    if (tensor === undefined || tensor.dtype !== dtype) throw damaged(`there is no tensor ${name} of type ${dtype}`);
    using host = await tensor.materialize({ reader });
    return host.bytes().slice();
  };
  const tokenBytes = await bytesOf('tokens', 'I32');
  const tokens = new Int32Array(tokenBytes.buffer, 0, tokenBytes.byteLength / 4);
  const checksumBytes = await bytesOf('checksums', 'U32');
  const checksums = new Uint32Array(checksumBytes.buffer, 0, checksumBytes.byteLength / 4);
  if (crc32(tokenBytes) !== checksums[0]) throw damaged('its tokens are not what was written');

  const starts = parse(metadata.get('starts'), []) as readonly number[];
  let at = 1;
  const states = expected.map(({ name, blockBytes }, i) => {
    const tensor = tensors.get(name);
    const start = starts[i] ?? -1;
    const blocks = Math.ceil(tokens.length / BLOCK_POSITIONS) - start / BLOCK_POSITIONS;
    const fits = tensor?.dtype === 'U8' && tensor.shape[0] === blocks && tensor.shape[1] === blockBytes;
    if (!fits || start < 0) throw damaged(`tensor ${name} is not [${blocks}, ${blockBytes}]`);
    const own = checksums.subarray(at, at + blocks);
    at += blocks;
    return { state: { name, start, blocks, blockBytes }, place: { tensor, checksums: own } };
  });
  if (at !== checksums.length) throw damaged(`${checksums.length} checksums for ${at} pieces`);
  return {
    file,
    tokens,
    rope: metadata.get('rope') ?? '',
    states: states.map(({ state }) => state),
    tensors: states.map(({ place }) => place),
  };
}

function parse(text: string | undefined, otherwise: unknown): unknown {
  try {
    return JSON.parse(text ?? '') ?? otherwise;
  } catch {
    return otherwise;
  }
}
