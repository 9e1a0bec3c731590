import { FormatError } from '../errors';
import { isRecord, readManifestJson } from './read-json';
import { fileNameFault } from './weight-index';

/** The part of a layered folder's `manifest.json` that opening needs; @airllm/shard writes and knows the rest. */
export interface LayeredManifest {
  readonly file: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

export const MANIFEST_FILE = 'manifest.json';
const FORMAT = 'airllm-shards';
/** The newest `formatVersion` this package opens. */
const FORMAT_VERSION = 1;

/** Null if the file is missing or some other program's manifest. Throws `FormatError`. */
export async function readManifest(file: string): Promise<LayeredManifest | null> {
  const root = await readOtherwiseNull(file);
  if (root === null || root.format !== FORMAT) return null;
  const version = root.formatVersion;
  if (typeof version !== 'number' || version < 1 || version > FORMAT_VERSION) {
    const found = String(version);
    throw new FormatError({
      file,
      reason: `formatVersion ${found}; this version of @airllm/loader opens 1 to ${FORMAT_VERSION}: update it`,
    });
  }
  const files = root.files;
  if (!Array.isArray(files)) throw new FormatError({ file, reason: 'files must be an array' });
  return { file, files: files.map((entry) => parseFile(file, entry)) };
}

async function readOtherwiseNull(file: string): Promise<Record<string, unknown> | null> {
  try {
    return await readManifestJson(file);
  } catch (error) {
    // A web app's manifest.json may be anything; ours is written atomically and always parses.
    if (FormatError.isInstance(error)) return null;
    throw error;
  }
}

function parseFile(file: string, entry: unknown): { name: string; bytes: number } {
  if (!isRecord(entry)) throw new FormatError({ file, reason: 'files must hold objects' });
  const { file: name, bytes } = entry;
  const fault = fileNameFault(name);
  if (fault !== undefined) throw new FormatError({ file, reason: `an entry of files: ${fault}` });
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new FormatError({ file, reason: `bytes of ${JSON.stringify(name)} must be a count` });
  }
  return { name: name as string, bytes };
}
