import { BLOCK_POSITIONS } from '@airllm/kernels';
import { crc32, HostBuffer, type Reader } from '@airllm/loader';
import type { StateBlocks } from '../../engine';
import { PromptCacheError } from '../../state-errors';
import type { CacheFile } from './cache-file';

/**
 * First position of a state that a sequence of `length` positions needs, in passes of up to `maxRows` rows; null where the
 * file holds later ones only, since windows had passed the others by.
 */
export function firstKept(
  state: { readonly start: number; readonly window: number | undefined },
  length: number,
  maxRows: number,
): number | null {
  if (state.window === undefined) return state.start === 0 ? 0 : null;
  const seen = Math.max(0, length + 1 - state.window);
  if (seen < state.start) return null;
  const wanted = Math.floor(Math.max(0, seen - maxRows) / BLOCK_POSITIONS) * BLOCK_POSITIONS;
  return Math.max(state.start, wanted);
}

/** A state, and what of it is to be restored. */
export interface Wanted {
  /** In the file's states. */
  readonly index: number;
  readonly start: number;
  readonly length: number;
  readonly target: StateBlocks;
}

/** States that are on their way at a time, so that a drive is kept busy while others are put where they belong. */
const LANES = 3;

/** Brings states from a file. Throws `PromptCacheError` where they are not what was written, and `ReadError`. */
export async function restoreStates(cache: CacheFile, wanted: readonly Wanted[], reader: Reader): Promise<void> {
  const queue = [...wanted];
  const bytes = Math.max(1, ...wanted.map(({ index, target }) => mostBytes(cache, index, target, reader)));
  const lane = async () => {
    using buffer = HostBuffer.allocate(bytes, { label: 'prompt cache' });
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      try {
        await restoreState(cache, next, buffer, reader);
      } finally {
        next.target.dispose();
      }
    }
  };
  const lanes = Array.from({ length: Math.min(LANES, wanted.length) }, lane);
  // All must have stopped writing before an error lets anybody have the states.
  for (const result of await Promise.allSettled(lanes)) if (result.status === 'rejected') throw result.reason;
}

async function restoreState(cache: CacheFile, wanted: Wanted, buffer: HostBuffer, reader: Reader): Promise<void> {
  const { index, start, length, target } = wanted;
  const { tensor, checksums } = cache.tensors[index]!;
  const { start: stored, blockBytes, name } = cache.states[index]!;
  const { file, offset } = tensor.extent!;
  const end = Math.ceil(length / BLOCK_POSITIONS);
  target.place(start, length);
  for (let first = start / BLOCK_POSITIONS; first < end; first += target.staged) {
    const count = Math.min(target.staged, end - first);
    const from = first - stored / BLOCK_POSITIONS;
    const extent = { file, offset: offset + from * blockBytes, length: count * blockBytes };
    const bytes = buffer.bytes(await reader.read(extent, buffer, 0), extent.length);
    const blocks = Array.from({ length: count }, (_, b) => bytes.subarray(b * blockBytes, (b + 1) * blockBytes));
    const damaged = blocks.findIndex((block, b) => crc32(block) !== checksums[from + b]);
    if (damaged >= 0) {
      const position = (first + damaged) * BLOCK_POSITIONS;
      const reason = `it is damaged: ${name} from position ${position} on is not what was written`;
      throw new PromptCacheError({ file, reason, isCache: true });
    }
    await target.put(first, blocks);
  }
}

/** Bytes that a read of as many blocks as are staged at a time may take, wherever they begin. */
function mostBytes(cache: CacheFile, index: number, { staged }: StateBlocks, reader: Reader): number {
  const { blocks, blockBytes } = cache.states[index]!;
  const length = Math.min(staged, blocks) * blockBytes;
  return reader.span({ file: cache.file, offset: reader.alignment - 1, length }) + reader.alignment;
}
