import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

/** The bytes of a served file, read piece by piece so that a file of gigabytes needs no memory. */
export interface HubContent {
  readonly size: number;
  /** What is said of the bytes without looking, for files of hundreds of gigabytes that nobody will read whole. */
  readonly hashes?: { readonly oid: string; readonly sha256: string } | undefined;
  read(from: number, to: number): Uint8Array | Promise<Uint8Array>;
}

export type ContentSource = string | Uint8Array | HubContent;

export function asContent(source: ContentSource): HubContent {
  if (typeof source === 'string') return asContent(new TextEncoder().encode(source));
  if (source instanceof Uint8Array) return { size: source.length, read: (from, to) => source.subarray(from, to) };
  return source;
}

/** A length that no range is a multiple of, so that a shifted or swapped range never looks right. */
const TILE_BYTES = 1_048_573;
/** Reads up to this length are views. */
export const VIEW_BYTES = 2 ** 20;

/** Bytes that look random and differ everywhere, the same for every run with that seed. They must not be changed. */
export function patternContent(size: number, seed = 1): HubContent {
  const tile = new Uint8Array(TILE_BYTES + VIEW_BYTES);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < TILE_BYTES; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    tile[i] = state;
  }
  // Its bytes again, so that what begins in it can be read on.
  for (let i = TILE_BYTES; i < tile.length; i++) tile[i] = tile[i - TILE_BYTES] as number;
  return {
    size,
    read(from, to) {
      const start = from % TILE_BYTES;
      if (to - from <= VIEW_BYTES) return tile.subarray(start, start + to - from);
      const bytes = new Uint8Array(to - from);
      for (let at = from; at < to; at += VIEW_BYTES) {
        const begin = at % TILE_BYTES;
        bytes.set(tile.subarray(begin, begin + Math.min(VIEW_BYTES, to - at)), at - from);
      }
      return bytes;
    },
  };
}

/** A file on disk; it must not change while it is served. */
export async function fileContent(path: string): Promise<HubContent> {
  const handle = await open(path);
  const { size } = await handle.stat();
  await handle.close();
  return {
    size,
    async read(from, to) {
      const file = await open(path);
      try {
        const bytes = Buffer.allocUnsafe(to - from);
        const { bytesRead } = await file.read(bytes, 0, bytes.length, from);
        if (bytesRead !== bytes.length) throw new Error(`${path}: ${bytesRead} of ${bytes.length} bytes at ${from}`);
        return bytes;
      } finally {
        await file.close();
      }
    },
  };
}

const STEP = 2 ** 22;

/** What names the content on the Hub: git's id of a blob, and the sha256 that LFS goes by. */
export async function contentHashes(content: HubContent): Promise<{ oid: string; sha256: string }> {
  if (content.hashes !== undefined) return content.hashes;
  const git = createHash('sha1').update(`blob ${content.size}\0`);
  const sha256 = createHash('sha256');
  for (let at = 0; at < content.size; at += STEP) {
    const bytes = await content.read(at, Math.min(at + STEP, content.size));
    git.update(bytes);
    sha256.update(bytes);
  }
  return { oid: git.digest('hex'), sha256: sha256.digest('hex') };
}
