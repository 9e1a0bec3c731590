import { BLOCK_POSITIONS } from '@airllm/kernels';
import { crc32, SafetensorsWriter } from '@airllm/loader';
import type { StateBlocks } from '../../engine';
import { cacheMetadata, cacheTensors } from './cache-file';
import type { CacheIdentity } from './identity';

export interface SavedState {
  readonly name: string;
  readonly blocks: StateBlocks;
}

/**
 * Writes the states of a sequence that has run `tokens`, under the file's name once all of it is on the drive, unless
 * `checkGoOn` throws when all has been read. Throws `WriteError`, and what reading states throws.
 */
export async function saveCacheFile(
  file: string,
  identity: CacheIdentity,
  tokens: readonly number[],
  rope: string,
  saved: readonly SavedState[],
  checkGoOn: () => void,
): Promise<void> {
  const states = saved.map(({ name, blocks: { start, length, blockBytes } }) => {
    return { name, start, blockBytes, blocks: Math.ceil(length / BLOCK_POSITIONS) - start / BLOCK_POSITIONS };
  });
  const content = { tokens: Int32Array.from(tokens), rope, states };
  const tokenBytes = new Uint8Array(content.tokens.buffer);
  const checksums = [crc32(tokenBytes)];
  const writer = await SafetensorsWriter.create(file, cacheTensors(content), {
    metadata: cacheMetadata(identity, content),
  });
  try {
    await writer.write('tokens', tokenBytes);
    for (const { name, blocks } of saved) await writer.write(name, blocksOf(blocks, checksums));
    await writer.write('checksums', new Uint8Array(Uint32Array.from(checksums).buffer));
    // What is read of memory that was given back is zeros.
    checkGoOn();
    await writer.finish();
  } finally {
    await writer.abort();
  }
}

async function* blocksOf(state: StateBlocks, checksums: number[]): AsyncGenerator<Uint8Array> {
  const end = Math.ceil(state.length / BLOCK_POSITIONS);
  try {
    for (let first = state.start / BLOCK_POSITIONS; first < end; first += state.staged) {
      for (const block of await state.take(first, Math.min(state.staged, end - first))) {
        checksums.push(crc32(block));
        yield block;
      }
    }
  } finally {
    state.dispose();
  }
}
