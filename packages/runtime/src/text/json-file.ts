import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { TokenizerError } from './errors';

export type JsonObject = Record<string, unknown>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The bytes of a file of a model folder, or undefined where it does not exist. */
export async function readFileBytes(dir: string, name: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return await readWhole(path.join(dir, name), signal);
  } catch (error) {
    signal?.throwIfAborted();
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** In one request: `readFile` takes one for every half megabyte, each by way of the event loop. */
async function readWhole(file: string, signal?: AbortSignal): Promise<Uint8Array> {
  signal?.throwIfAborted();
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const bytes = new Uint8Array(size);
    const { bytesRead } = await handle.read(bytes, 0, size, 0);
    // What grows or shrinks meanwhile, or has no size (a pipe), is left to readFile.
    return bytesRead === size && size > 0 ? bytes : await readFile(file, { ...(signal && { signal }) });
  } finally {
    await handle.close();
  }
}

/** A text file of a model folder, or undefined where it does not exist. */
export async function readTextFile(dir: string, name: string, signal?: AbortSignal): Promise<string | undefined> {
  const bytes = await readFileBytes(dir, name, signal);
  return bytes && new TextDecoder().decode(bytes);
}

/**
 * A JSON object from a file of a model folder, or undefined where the file does not exist.
 *
 * @throws TokenizerError where the file is not a JSON object.
 */
export async function readJsonFile(dir: string, name: string, signal?: AbortSignal): Promise<JsonObject | undefined> {
  const text = await readTextFile(dir, name, signal);
  return text === undefined ? undefined : parseJsonObject(text, path.join(dir, name));
}

function parseJsonObject(text: string, file: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TokenizerError({ file, reason: `not JSON (${(cause as Error).message}); download it again`, cause });
  }
  if (!isJsonObject(value)) throw new TokenizerError({ file, reason: 'expected a JSON object' });
  return value;
}
