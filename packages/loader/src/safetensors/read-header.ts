import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { AbsentFolder } from '../checkpoint/absent-files';
import { FormatError } from '../errors';
import { readExactly } from '../files/read-exactly';
import { openFailure } from '../system-errors';
import { headerLength, parseHeader, type SafetensorsHeader } from './parse-header';

/** Most headers fit, so that one read does; a longer one takes a second read. */
const FIRST_READ_BYTES = 128 * 1024;

/**
 * Reads and checks the header of a safetensors file, and nothing but the header. Memory stays within the file's size.
 * Throws `FormatError`, `ReadError`, `MissingFileError`.
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  const file = resolve(path);
  const handle = await openFile(file);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new FormatError({ file, reason: 'it is not a regular file' });
    const start = await readExactly(handle, { file, offset: 0, length: Math.min(stat.size, FIRST_READ_BYTES) });
    const length = headerLength(file, start, stat.size);
    return parseHeader(file, await headerBytes(handle, file, start, length), stat.size);
  } finally {
    await handle.close();
  }
}

export interface AbsentHeaderOptions {
  /** Bytes of the first read. What is too little costs a second one. @defaultValue 64 KiB */
  readonly firstRead?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The same for a file that is elsewhere. Throws `FormatError`, and as its files' `read` does. */
export async function readAbsentHeader(
  file: string,
  absent: AbsentFolder,
  { firstRead = 65_536, signal }: AbsentHeaderOptions = {},
): Promise<SafetensorsHeader> {
  const size = absent.size(file) ?? 0;
  const start = await absent.read({ file, offset: 0, length: Math.min(size, firstRead) }, signal);
  const end = 8 + headerLength(file, start, size);
  if (end <= start.byteLength) return parseHeader(file, start.subarray(8, end), size);
  const rest = await absent.read({ file, offset: start.byteLength, length: end - start.byteLength }, signal);
  return parseHeader(file, Buffer.concat([start.subarray(8), rest]), size);
}

async function headerBytes(handle: FileHandle, file: string, start: Uint8Array, length: number): Promise<Uint8Array> {
  if (8 + length <= start.byteLength) return start.subarray(8, 8 + length);
  const bytes = new Uint8Array(length);
  bytes.set(start.subarray(8));
  const have = start.byteLength - 8;
  bytes.set(await readExactly(handle, { file, offset: start.byteLength, length: length - have }), have);
  return bytes;
}

async function openFile(file: string): Promise<FileHandle> {
  try {
    return await open(file, 'r');
  } catch (cause) {
    throw openFailure(file, cause);
  }
}
