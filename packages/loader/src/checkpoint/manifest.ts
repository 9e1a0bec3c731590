import { FormatError } from '../errors';
import type { JsonObject, JsonValue } from '../strict-json';
import { readStrict } from './read-json';
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
  if (root === null || root.get('format') !== FORMAT) return null;
  const version = root.get('formatVersion');
  if (typeof version !== 'number' || version < 1 || version > FORMAT_VERSION) {
    const found = String(version);
    throw new FormatError({
      file,
      reason: `formatVersion ${found}; this version of @airllm/loader opens 1 to ${FORMAT_VERSION}: update it`,
    });
  }
  const files = root.get('files');
  if (!Array.isArray(files)) throw new FormatError({ file, reason: 'files must be an array' });
  return { file, files: files.map((entry) => parseFile(file, entry)) };
}

async function readOtherwiseNull(file: string): Promise<JsonObject | null> {
  try {
    return await readStrict(file);
  } catch (error) {
    // A web app's manifest.json may be anything; ours is written atomically and always parses.
    if (FormatError.isInstance(error)) return null;
    throw error;
  }
}

function parseFile(file: string, entry: JsonValue): { name: string; bytes: number } {
  if (!(entry instanceof Map)) throw new FormatError({ file, reason: 'files must hold objects' });
  const name = entry.get('file');
  const fault = fileNameFault(name);
  if (fault !== undefined) throw new FormatError({ file, reason: `an entry of files: ${fault}` });
  const bytes = entry.get('bytes');
  if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < 0) {
    throw new FormatError({ file, reason: `bytes of ${JSON.stringify(name)} must be a count` });
  }
  return { name: name as string, bytes };
}
