import { BLOCK_POSITIONS } from '@airllm/kernels';
import { crc32, type Extent, HostBuffer, type Reader } from '@airllm/loader';
import type { StateBlocks } from '../../engine';
import { PromptCacheError } from '../../state-errors';
import type { CacheFile } from './cache-file';

/** Positions that states keep for rows from `length` on. */
export interface Kept {
  readonly start: number;
  readonly length: number;
}

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

/** Brings the blocks of one state from a file. Throws `PromptCacheError` where they are not what was written. */
export async function restoreState(
  cache: CacheFile,
  index: number,
  { start, length }: Kept,
  target: StateBlocks,
  reader: Reader,
): Promise<void> {
  const { tensor, checksums } = cache.tensors[index]!;
  const { start: stored, blockBytes, name } = cache.states[index]!;
  const { file, offset } = tensor.extent!;
  target.place(start, length);
  const end = Math.ceil(length / BLOCK_POSITIONS);
  const chunks: { first: number; count: number; extent: Extent }[] = [];
  for (let first = start / BLOCK_POSITIONS; first < end; first += target.staged) {
    const count = Math.min(target.staged, end - first);
    const from = first - stored / BLOCK_POSITIONS;
    chunks.push({ first, count, extent: { file, offset: offset + from * blockBytes, length: count * blockBytes } });
  }
  // One is read while the one before is put where it belongs.
  using staging = new Staging(
    reader,
    chunks.map(({ extent }) => extent),
  );
  for (const [i, { first, count }] of chunks.entries()) {
    const bytes = await staging.take(i);
    const blocks = Array.from({ length: count }, (_, b) => bytes.subarray(b * blockBytes, (b + 1) * blockBytes));
    const damaged = blocks.findIndex((block, b) => crc32(block) !== checksums[first + b - stored / BLOCK_POSITIONS]);
    if (damaged >= 0) {
      const position = (first + damaged) * BLOCK_POSITIONS;
      throw new PromptCacheError({
        file,
        reason: `it is damaged: ${name} from position ${position} on is not what was written`,
      });
    }
    await target.put(first, blocks);
  }
}

/** Two buffers that extents are read into in turn. */
class Staging {
  readonly #reader: Reader;
  readonly #extents: readonly Extent[];
  readonly #buffers: readonly HostBuffer[];
  readonly #reads: Promise<number>[] = [];

  constructor(reader: Reader, extents: readonly Extent[]) {
    this.#reader = reader;
    this.#extents = extents;
    const bytes = Math.max(1, ...extents.map((extent) => reader.span(extent)));
    const count = Math.min(2, extents.length);
    this.#buffers = Array.from({ length: count }, () => HostBuffer.allocate(bytes, { label: 'prompt cache' }));
  }

  /** Bytes of an extent, which are there until the next one is taken. */
  async take(index: number): Promise<Uint8Array> {
    this.#start(index);
    this.#start(index + 1);
    const at = await this.#reads[index]!;
    return this.#bufferOf(index).bytes(at, this.#extents[index]!.length);
  }

  /** Reads that go on hold their memory themselves. */
  [Symbol.dispose](): void {
    for (const buffer of this.#buffers) buffer.dispose();
  }

  #bufferOf(index: number): HostBuffer {
    return this.#buffers[index % this.#buffers.length]!;
  }

  #start(index: number): void {
    const extent = this.#extents[index];
    if (extent === undefined || this.#reads[index] !== undefined) return;
    this.#reads[index] = this.#reader.read(extent, this.#bufferOf(index), 0);
    // Whoever takes it meets the error.
    this.#reads[index].catch(() => {});
  }
}
