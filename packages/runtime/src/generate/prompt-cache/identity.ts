import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** What the bytes of keys and values depend on beside the tokens; two files fit each other where all of it is equal. */
export interface CacheIdentity {
  readonly modelType: string;
  /** Digest of the model's description: shapes, activations, rotations. */
  readonly graphs: string;
  /** Digest of the weights: by the manifest's checksums where a model was split, else by names, sizes and times of files. */
  readonly weights: string;
  readonly kvCacheDtype: string;
  readonly computeDtype: string;
  readonly executor: string;
  readonly isa: string;
  /** What computes some of the blocks instead, and which; absent where nothing does. */
  readonly device?: string | undefined;
}

/** What each part is called where it differs; graphs hold some of the others, which say more. */
const PARTS: Readonly<Record<keyof CacheIdentity, string>> = {
  modelType: 'a model of type',
  kvCacheDtype: 'kvCacheDtype',
  computeDtype: 'computeDtype',
  executor: 'executor',
  isa: 'instruction set',
  device: 'a device that computed',
  graphs: 'a model of another configuration',
  weights: 'other weights, or weights that have changed since',
};

/** In words what two identities differ in; null where they are equal. */
export function differenceOf(found: Partial<CacheIdentity>, expected: CacheIdentity): string | null {
  for (const [key, what] of Object.entries(PARTS) as [keyof CacheIdentity, string][]) {
    if (found[key] === expected[key]) continue;
    if (key === 'graphs' || key === 'weights') return `it was made with ${what}`;
    return `it was made with ${what} ${JSON.stringify(found[key])}, this is ${JSON.stringify(expected[key])}`;
  }
  return null;
}

/** Digest of the weights in `files`. */
export async function weightsDigest(files: Iterable<string>): Promise<string> {
  const hash = createHash('sha256');
  const sorted = [...new Set(files)].sort();
  const manifests = new Set<string>();
  for (const file of sorted) {
    const manifest = await readManifest(dirname(file));
    if (manifest !== null) manifests.add(manifest);
    else {
      const { size, mtimeMs } = await stat(file);
      hash.update(`${basename(file)}\0${size}\0${mtimeMs}\0`);
    }
  }
  for (const manifest of manifests) hash.update(manifest);
  return hash.digest('hex');
}

/** The manifest of a folder of layers: it has a checksum of every tensor. */
async function readManifest(dir: string): Promise<string | null> {
  try {
    const text = await readFile(join(dir, 'manifest.json'), 'utf8');
    return (JSON.parse(text) as { format?: unknown }).format === 'airllm-shards' ? text : null;
  } catch {
    return null;
  }
}
