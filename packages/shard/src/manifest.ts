import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type DType, errnoName, FormatError, MissingFileError } from '@airllm/loader';
import type { Compression } from './compress/kinds';
import type { FileRole } from './plan/place';
import type { ShardDType } from './plan/plan';

export const MANIFEST_FILE = 'manifest.json';
export const MANIFEST_FORMAT = 'airllm-shards';
export const MANIFEST_VERSION = 1;

/** As @airllm/loader has it. A mixture of experts with 90,000 tensors comes to some 25 MB. */
const MAX_MANIFEST_BYTES = 100_000_000;

/** A tensor in a layer file. */
export interface ManifestTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly bytes: number;
  /** Of its bytes, in hexadecimal. */
  readonly sha256: string;
  /** Of codes that were made by compressing: relative root mean square of the error. */
  readonly error?: number;
}

/** A layer file. */
export interface ManifestFile {
  readonly file: string;
  readonly role: FileRole;
  /** Name up to the layer number; null outside layers, as are `layer` and `expert`. */
  readonly stack: string | null;
  readonly layer: number | null;
  readonly expert: number | null;
  readonly bytes: number;
  /** Length field, JSON and padding: where the first tensor begins. */
  readonly headerBytes: number;
  readonly headerSha256: string;
  /** In consumption order. */
  readonly tensors: readonly ManifestTensor[];
}

/** A file beside the weights: copied from the source, or the index for other readers. */
export interface ManifestExtra {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A file of the source as it was. */
export interface SourceFile {
  readonly file: string;
  readonly bytes: number;
  /** Last modification, ISO 8601 with milliseconds. */
  readonly mtime: string;
  /**
   * Of length field and header; of pickles and GGUF files of their first and last MiB; null for files that are not
   * weights.
   */
  readonly headerSha256: string | null;
}

/** What a split was made from. Holds no paths. */
export interface SourceDescription {
  readonly layout: 'single' | 'sharded' | 'layered' | 'pickle' | 'gguf';
  readonly files: readonly SourceFile[];
}

/** `manifest.json` of a layered directory. */
export interface Manifest {
  readonly format: typeof MANIFEST_FORMAT;
  readonly formatVersion: number;
  readonly source: SourceDescription;
  /** What floating-point tensors were converted to; null: nothing was. */
  readonly dtype: ShardDType | null;
  /** What matrices were compressed to; absent: none was. */
  readonly compress?: Compression;
  /** Of all layer files together. */
  readonly byteLength: number;
  /** Layer files in consumption order. */
  readonly files: readonly ManifestFile[];
  readonly extras: readonly ManifestExtra[];
}

/**
 * The text of a manifest: one line per file, and a checksum of all lines before it as the last value. There is exactly
 * one text for a manifest, so any changed byte shows.
 */
export function encodeManifest(manifest: Manifest): string {
  const { format, formatVersion, source, dtype, compress, byteLength, files, extras } = manifest;
  const lines = (items: readonly unknown[]) =>
    items.length === 0 ? '[]' : `[\n${items.map((item) => `  ${JSON.stringify(item)}`).join(',\n')}\n ]`;
  const body = [
    `{`,
    ` "format": ${JSON.stringify(format)},`,
    ` "formatVersion": ${formatVersion},`,
    ` "source": { "layout": ${JSON.stringify(source.layout)}, "files": ${lines(source.files)} },`,
    ` "dtype": ${JSON.stringify(dtype)},`,
    ...(compress === undefined ? [] : [` "compress": ${JSON.stringify(compress)},`]),
    ` "byteLength": ${byteLength},`,
    ` "files": ${lines(files)},`,
    ` "extras": ${lines(extras)},`,
    ``,
  ].join('\n');
  return `${body} "sha256": "${createHash('sha256').update(body).digest('hex')}"\n}\n`;
}

/** Reads and checks `manifest.json`. Throws `MissingFileError`, and `FormatError` if a byte of it is not as written. */
export async function readManifest(dir: string): Promise<Manifest> {
  const file = path.join(dir, MANIFEST_FILE);
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    if (errnoName(cause) !== 'ENOENT') throw cause;
    throw new MissingFileError({ file, neededBy: file, cause });
  }
  if (bytes.length > MAX_MANIFEST_BYTES)
    throw new FormatError({ file, reason: `${bytes.length} bytes are too many for a manifest` });
  return decodeManifest(bytes.toString('utf8'), file);
}

/** `file` is for errors. */
function decodeManifest(text: string, file: string): Manifest {
  const damaged = (reason: string, cause?: unknown) => new FormatError({ file, reason, cause });
  let value: Manifest;
  try {
    value = JSON.parse(text) as Manifest;
  } catch (cause) {
    throw damaged('damaged: it is not JSON any more; split again with restart', cause);
  }
  if (value?.format !== MANIFEST_FORMAT)
    throw damaged(`not a manifest of a layered directory: its format is not "${MANIFEST_FORMAT}"`);
  if (value.formatVersion !== MANIFEST_VERSION) {
    throw damaged(
      `expected formatVersion ${MANIFEST_VERSION}, found ${value.formatVersion}; it was written by another release`,
    );
  }
  let same: boolean;
  try {
    same = encodeManifest(value) === text;
  } catch (cause) {
    throw damaged('damaged: parts of it are missing; split again with restart', cause);
  }
  if (!same) throw damaged('damaged: its checksum does not fit its text; split again with restart');
  for (const { file: name } of [...value.files, ...value.extras]) {
    if (!isInnerName(name)) throw damaged(`it names a file outside its folder: ${JSON.stringify(name)}`);
  }
  return value;
}

/** Whether a name stays inside the folder: relative, with `/` only, without `..`. */
function isInnerName(name: unknown): name is string {
  return (
    typeof name === 'string' &&
    !/[\\:\0]/.test(name) &&
    name.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  );
}
