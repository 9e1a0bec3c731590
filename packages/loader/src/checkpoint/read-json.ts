import { open } from 'node:fs/promises';
import { FormatError, MissingFileError } from '../errors';
import { JsonError, type JsonObject, parseJson } from '../strict-json';
import { errnoName, openFailure } from '../system-errors';

/** Real configurations have some KB; those that list every quantised module reach a few MB. */
const MAX_CONFIG_BYTES = 16 * 2 ** 20;
/** Indexes of mixtures of experts reach 10 MB (half a million entries at about 100 bytes would be 50). */
const MAX_INDEX_BYTES = 100_000_000;
/** An index has 2 levels; its metadata may hold some more. */
const MAX_INDEX_DEPTH = 16;

/** Parses a configuration file to plain objects; null if there is none. Throws `FormatError`, `ReadError`. */
export function readConfig(file: string): Promise<Record<string, unknown> | null> {
  return readPlain(file, MAX_CONFIG_BYTES);
}

/** The same for a manifest of our own: at 25 MB for 90 000 tensors, `JSON.parse` is worth its looseness. */
export function readManifestJson(file: string): Promise<Record<string, unknown> | null> {
  return readPlain(file, MAX_INDEX_BYTES);
}

async function readPlain(file: string, limit: number): Promise<Record<string, unknown> | null> {
  const text = await readText(file, limit);
  if (text === null) return null;
  let value: unknown;
  try {
    value = JSON.parse(withoutNonFinite(text));
  } catch (cause) {
    throw new FormatError({ file, reason: `not JSON: ${(cause as Error).message}`, cause });
  }
  if (!isRecord(value)) throw new FormatError({ file, reason: 'must hold a JSON object' });
  return value;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Python writes Infinity and NaN (real configurations of Mamba have them), which JSON does not know. */
function withoutNonFinite(text: string): string {
  if (!/Infinity|NaN/.test(text)) return text;
  return text.replace(/"(?:[^"\\]|\\.)*"|Infinity|NaN/g, (token) =>
    token === 'Infinity' ? '1e999' : token === 'NaN' ? 'null' : token,
  );
}

/** Parses an index strictly (a name that occurs twice is an error); null if there is none. */
async function readStrict(file: string): Promise<JsonObject | null> {
  const text = await readText(file, MAX_INDEX_BYTES);
  if (text === null) return null;
  try {
    const value = parseJson(text, { maxDepth: MAX_INDEX_DEPTH });
    if (value instanceof Map) return value;
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new FormatError({ file, tensor: cause.path[1], reason: `not acceptable JSON: ${cause.message}`, cause });
  }
  throw new FormatError({ file, reason: 'must hold a JSON object' });
}

async function readText(file: string, limit: number): Promise<string | null> {
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      if (size > limit) throw new FormatError({ file, reason: `${size} bytes; at most ${limit} are accepted` });
      return decode(file, await handle.readFile());
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (errnoName(cause) === 'ENOENT') return null;
    if (FormatError.isInstance(cause)) throw cause;
    throw openFailure(file, cause);
  }
}

/** The same, for a file that has to be there. */
export async function readRequired(file: string): Promise<JsonObject> {
  const value = await readStrict(file);
  if (value === null) throw new MissingFileError({ file, neededBy: file });
  return value;
}

function decode(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError({ file, reason: 'not UTF-8', cause });
  }
}
