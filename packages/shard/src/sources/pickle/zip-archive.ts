import type { RangedFile } from '../source-files';
import { CONVERT, refuse } from './errors';

/** An entry as the central directory tells it. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes when extracted. */
  readonly size: number;
  readonly storedSize: number;
  /** 0: stored as it is. */
  readonly method: number;
  readonly encrypted: boolean;
  /** Of the local header, from the start of the file. */
  readonly headerOffset: number;
}

export interface ZipArchive {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** Where the central directory begins; every entry ends before. */
  readonly dataEnd: number;
}

/** About 100 bytes per tensor; the largest real files have some thousand. */
const MAX_DIRECTORY_BYTES = 8 * 2 ** 20;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
/** Of a local header, without name and extra fields. */
export const LOCAL_BYTES = 30;

const END = 0x06054b50;
const END64_LOCATOR = 0x07064b50;
const END64 = 0x06064b50;
const DIRECTORY = 0x02014b50;
const LOCAL = 0x04034b50;

/** Reads a zip archive's directory, which lies at the end of the file. Throws `FormatError`, `ReadError`. */
export async function readZip(file: RangedFile): Promise<ZipArchive> {
  const { count, size, offset, limit } = await findDirectory(file);
  if (size > MAX_DIRECTORY_BYTES) {
    refuse(file.path, `its zip directory has ${size} bytes; ${MAX_DIRECTORY_BYTES} are accepted`);
  }
  if (offset + size > limit)
    refuse(file.path, `its zip directory (${size} bytes at ${offset}) ends behind byte ${limit}`);
  const entries = parseDirectory(file, await file.read(offset, size), count);
  return { entries, dataEnd: offset };
}

interface DirectoryPlace {
  readonly count: number;
  readonly size: number;
  readonly offset: number;
  /** The first byte that cannot belong to it. */
  readonly limit: number;
}

async function findDirectory(file: RangedFile): Promise<DirectoryPlace> {
  const tailBytes = Math.min(file.size, END_BYTES + MAX_COMMENT_BYTES);
  const tailAt = file.size - tailBytes;
  const tail = viewOf(await file.read(tailAt, tailBytes));
  const at = findEnd(tail);
  if (at === undefined) {
    return refuse(file.path, 'it begins like a zip archive but has no directory at its end: it is cut');
  }
  const end = {
    count: tail.getUint16(at + 10, true),
    size: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
    limit: tailAt + at,
  };
  if (end.count !== 0xffff && end.size !== 0xffffffff && end.offset !== 0xffffffff) return end;
  return findDirectory64(file, end.limit);
}

/** The end record is the last thing in the file but for a comment whose length it knows. */
function findEnd(tail: DataView): number | undefined {
  for (let at = tail.byteLength - END_BYTES; at >= 0; at--) {
    if (tail.getUint32(at, true) !== END) continue;
    if (at + END_BYTES + tail.getUint16(at + 20, true) === tail.byteLength) return at;
  }
  return undefined;
}

async function findDirectory64(file: RangedFile, endAt: number): Promise<DirectoryPlace> {
  const locatorAt = endAt - LOCATOR_BYTES;
  if (locatorAt < 0) return refuse(file.path, 'its zip64 locator is missing');
  const locator = viewOf(await file.read(locatorAt, LOCATOR_BYTES));
  if (locator.getUint32(0, true) !== END64_LOCATOR) return refuse(file.path, 'its zip64 locator is missing');
  const end64At = uint64(file, locator, 8);
  if (end64At + END64_BYTES > locatorAt) return refuse(file.path, `its zip64 end record at ${end64At} lies too late`);
  const record = viewOf(await file.read(end64At, END64_BYTES));
  if (record.getUint32(0, true) !== END64) return refuse(file.path, `no zip64 end record lies at ${end64At}`);
  return {
    count: uint64(file, record, 32),
    size: uint64(file, record, 40),
    offset: uint64(file, record, 48),
    limit: end64At,
  };
}

function parseDirectory(file: RangedFile, bytes: Uint8Array, count: number): Map<string, ZipEntry> {
  const view = viewOf(bytes);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  while (at < bytes.length) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== DIRECTORY) {
      refuse(file.path, `entry ${entries.size} of its zip directory is damaged`);
    }
    const nameEnd = at + 46 + view.getUint16(at + 28, true);
    const extraEnd = nameEnd + view.getUint16(at + 30, true);
    const end = extraEnd + view.getUint16(at + 32, true);
    if (end > bytes.length) refuse(file.path, `entry ${entries.size} of its zip directory is cut`);
    const name = latin1(bytes.subarray(at + 46, nameEnd));
    if (entries.has(name)) refuse(file.path, `its zip directory holds ${JSON.stringify(name.slice(0, 200))} twice`);
    const wide = wideFields(file, view, at, nameEnd, extraEnd);
    const encrypted = (view.getUint16(at + 8, true) & 1) !== 0;
    entries.set(name, { name, method: view.getUint16(at + 10, true), encrypted, ...wide });
    at = end;
  }
  if (entries.size !== count) refuse(file.path, `its zip directory has ${entries.size} entries and says ${count}`);
  return entries;
}

/** Sizes and offset, from the zip64 field where 32 bits do not hold them. */
function wideFields(
  file: RangedFile,
  view: DataView,
  entry: number,
  extra: number,
  extraEnd: number,
): Pick<ZipEntry, 'size' | 'storedSize' | 'headerOffset'> {
  let at = extra;
  let end = extra;
  for (let field = extra; field + 4 <= extraEnd; ) {
    const length = view.getUint16(field + 2, true);
    if (view.getUint16(field, true) === 1) {
      at = field + 4;
      end = Math.min(at + length, extraEnd);
      break;
    }
    field += 4 + length;
  }
  // Only the fields that are full of ones follow, in this order.
  const take = (offset: number): number => {
    const narrow = view.getUint32(entry + offset, true);
    if (narrow !== 0xffffffff) return narrow;
    if (at + 8 > end) return refuse(file.path, 'an entry of its zip directory lacks a zip64 size');
    at += 8;
    return uint64(file, view, at - 8);
  };
  const size = take(24);
  const storedSize = take(20);
  return { size, storedSize, headerOffset: take(42) };
}

/**
 * Where the bytes of an entry begin: behind its *local* header, where writers put their padding. Throws `FormatError`
 * if the entry is compressed, or is not what the directory says.
 */
export async function locateEntry(file: RangedFile, archive: ZipArchive, entry: ZipEntry): Promise<number> {
  const shown = JSON.stringify(entry.name.slice(0, 200));
  if (entry.encrypted) return refuse(file.path, `its entry ${shown} is encrypted`, CONVERT);
  if (entry.method !== 0 || entry.storedSize !== entry.size) {
    return refuse(
      file.path,
      `its entry ${shown} is compressed (zip method ${entry.method}), so no weight can be read in place; pack the ` +
        'archive again without compression (`unzip`, then `zip -0`), or convert it to safetensors with PyTorch',
    );
  }
  const room = archive.dataEnd - entry.headerOffset;
  if (room < LOCAL_BYTES)
    return refuse(file.path, `its entry ${shown} begins at ${entry.headerOffset}, behind the data`);
  const nameBytes = entry.name.length;
  const bytes = await file.read(entry.headerOffset, Math.min(room, LOCAL_BYTES + nameBytes));
  const header = viewOf(bytes);
  const same =
    header.getUint32(0, true) === LOCAL &&
    header.getUint16(8, true) === entry.method &&
    header.getUint16(26, true) === nameBytes &&
    latin1(bytes.subarray(LOCAL_BYTES)) === entry.name;
  if (!same) return refuse(file.path, `no local header of ${shown} lies at ${entry.headerOffset}`);
  const offset = entry.headerOffset + LOCAL_BYTES + nameBytes + header.getUint16(28, true);
  if (offset + entry.size > archive.dataEnd) {
    return refuse(
      file.path,
      `its entry ${shown} ends at ${offset + entry.size}, behind the data at ${archive.dataEnd}`,
    );
  }
  return offset;
}

function uint64(file: RangedFile, view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  return value <= BigInt(file.size) ? Number(value) : refuse(file.path, `its zip directory points at ${value}`);
}

/** Names are ASCII in checkpoints; other bytes only have to stay different. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
