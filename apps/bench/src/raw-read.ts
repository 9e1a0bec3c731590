import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Extent, HostBuffer, openReader } from '@airllm/loader';
import { readFolderAndOptions } from './arguments';

export const usage = 'bench raw-read <checkpoint> [--depth 4] [--gb 4] [--skip-gb 0]';

const CHUNK = 16 * 2 ** 20;

/** Reads a checkpoint's files in order, in 16 MiB requests, and prints GB/s: what the drive gives at a queue depth. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    depth: '4',
    gb: '4',
    'skip-gb': '0',
  });
  const depth = Number(values.depth);
  const chunks = await listChunks(dir, Number(values['skip-gb']) * 1e9, Number(values.gb) * 1e9);
  const reader = await openReader({ kind: 'direct', threads: depth, requestBytes: CHUNK });
  using buffer = HostBuffer.allocate(depth * CHUNK);
  let bytes = 0;
  const start = performance.now();
  const lanes = Array.from({ length: depth }, async (_, lane) => {
    for (let next = chunks.shift(); next !== undefined; next = chunks.shift()) {
      await reader.read(next, buffer, lane * CHUNK);
      bytes += next.length;
    }
  });
  await Promise.all(lanes);
  const seconds = (performance.now() - start) / 1000;
  await reader.close();
  console.log(JSON.stringify({ bytesPerSecond: bytes / seconds }));
}

async function listChunks(dir: string, skip: number, limit: number): Promise<Extent[]> {
  const chunks: Extent[] = [];
  let seen = 0;
  for (const name of (await readdir(dir)).filter((file) => file.endsWith('.safetensors')).sort()) {
    const file = path.join(dir, name);
    const { size } = await stat(file);
    for (let offset = 0; offset + CHUNK <= size; offset += CHUNK) {
      seen += CHUNK;
      if (seen > skip && seen <= skip + limit) chunks.push({ file, offset, length: CHUNK });
    }
  }
  return chunks;
}
