import { DTYPES, type DType, dtypeBits, isDType } from '../dtype';
import { FormatError } from '../errors';
import { JsonError, type JsonObject, type JsonValue, parseJson } from '../strict-json';

/** The format's own limit (safetensors' MAX_HEADER_SIZE). The largest real header seen is a few MB. */
export const MAX_HEADER_BYTES = 100_000_000;
/** Header, tensor, array of dimensions are 3 levels; unknown fields of a tensor may hold some more. */
const MAX_DEPTH = 16;
/** NumPy and PyTorch stop at 64 dimensions; weights have at most 5. */
const MAX_DIMENSIONS = 64;
/** Real names stay below 200 characters; a name ends up in error messages, manifests and file names. */
const MAX_NAME_LENGTH = 4096;
/** The largest real single file has some 100 000 tensors (a mixture of experts in one file). */
const MAX_TENSORS = 1_000_000;

/** A tensor as the header tells it; offsets are from the start of the file. */
export interface HeaderTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** A header that was found to be right. */
export interface SafetensorsHeader {
  readonly file: string;
  /** Bytes of the whole file. */
  readonly fileBytes: number;
  /** Of the first tensor's bytes: the length field (8) and the header. */
  readonly dataStart: number;
  /** What `__metadata__` says. */
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their bytes in the file. */
  readonly tensors: readonly HeaderTensor[];
}

/**
 * Checks the length field and returns the header's length. Throws `FormatError`, with a word of its own for files that
 * are something else altogether.
 */
export function headerLength(file: string, start: Uint8Array, fileBytes: number): number {
  const foreign = somethingElse(start);
  if (foreign !== undefined) throw new FormatError({ file, reason: foreign });
  if (fileBytes < 8) {
    throw new FormatError({ file, reason: `${fileBytes} bytes are too few for a safetensors file (length field: 8)` });
  }
  const length = new DataView(start.buffer, start.byteOffset, start.byteLength).getBigUint64(0, true);
  const room = fileBytes - 8;
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new FormatError({
      file,
      reason: `header length ${length} exceeds the format's limit of ${MAX_HEADER_BYTES}`,
    });
  }
  if (length > BigInt(room)) {
    throw new FormatError({ file, reason: `header length ${length} exceeds the file, which has ${room} bytes for it` });
  }
  if (length < 2n) throw new FormatError({ file, reason: `header length ${length}: too short for JSON` });
  return Number(length);
}

const FOREIGN: readonly (readonly [string, string])[] = [
  ['version https://git-lfs', 'it is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`'],
  ['<', 'it is an HTML or XML page, not weights; the download got an error page: download it again'],
  ['GGUF', 'it is a GGUF file, not safetensors'],
  ['PK\x03\x04', 'it is a zip archive (a PyTorch checkpoint?), not safetensors'],
];

function somethingElse(start: Uint8Array): string | undefined {
  const text = String.fromCharCode(...start.subarray(0, 32));
  // The first byte of a length field may be any of these by chance, but the eighth is 0 in a real file.
  if (start.length >= 8 && start[7] === 0) return undefined;
  return FOREIGN.find(([magic]) => text.startsWith(magic))?.[1];
}

/** Parses and checks a header. `bytes` is the header without its length field. Throws `FormatError`. */
export function parseHeader(file: string, bytes: Uint8Array, fileBytes: number): SafetensorsHeader {
  const root = parseRoot(file, bytes);
  const dataStart = 8 + bytes.byteLength;
  const metadata = parseMetadata(file, root.get('__metadata__'));
  root.delete('__metadata__');
  if (root.size > MAX_TENSORS) {
    throw new FormatError({ file, reason: `${root.size} tensors; at most ${MAX_TENSORS} are accepted` });
  }
  const tensors: HeaderTensor[] = [];
  for (const [name, entry] of root) tensors.push(parseTensor(file, name, entry, dataStart));
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCover(file, tensors, dataStart, fileBytes);
  return { file, fileBytes, dataStart, metadata, tensors };
}

function parseRoot(file: string, bytes: Uint8Array): JsonObject {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError({ file, reason: 'the header is not UTF-8', cause });
  }
  if (text[0] !== '{') {
    throw new FormatError({ file, reason: `the header must begin with "{", not ${JSON.stringify(text[0])}` });
  }
  try {
    return parseJson(text, { maxDepth: MAX_DEPTH, integersOnly: true }) as JsonObject;
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    const [tensor] = cause.path;
    throw new FormatError({ file, tensor, reason: `the header is not acceptable JSON: ${cause.message}`, cause });
  }
}

function parseMetadata(file: string, value: JsonValue | undefined): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  if (value === undefined) return metadata;
  if (!(value instanceof Map)) throw new FormatError({ file, reason: '__metadata__ must be an object' });
  for (const [key, text] of value) {
    if (typeof text !== 'string') {
      throw new FormatError({ file, reason: `__metadata__ ${JSON.stringify(key)} must be a string` });
    }
    metadata.set(key, text);
  }
  return metadata;
}

function parseTensor(file: string, name: string, entry: JsonValue, dataStart: number): HeaderTensor {
  const fail = (reason: string): never => {
    throw new FormatError({ file, tensor: name, reason });
  };
  if (name.length > MAX_NAME_LENGTH) fail(`its name has ${name.length} characters; ${MAX_NAME_LENGTH} are accepted`);
  if (!(entry instanceof Map)) return fail('its entry must be an object');
  const dtype = entry.get('dtype');
  if (!isDType(dtype)) return fail(`dtype must be one of ${DTYPES.join(', ')}, found ${shown(dtype)}`);
  const shape = parseShape(entry.get('shape'), fail);
  const [begin, end] = parseOffsets(entry.get('data_offsets'), fail);
  const expected = storedBytes(dtype, shape, fail);
  if (end - begin !== expected) {
    fail(`${dtype} [${shape}] takes ${expected} bytes, but data_offsets [${begin}, ${end}] hold ${end - begin}`);
  }
  return { name, dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

type Fail = (reason: string) => never;

function parseShape(value: JsonValue | undefined, fail: Fail): number[] {
  if (!Array.isArray(value)) return fail(`shape must be an array, found ${shown(value)}`);
  if (value.length > MAX_DIMENSIONS) fail(`${value.length} dimensions; at most ${MAX_DIMENSIONS} are accepted`);
  for (const dimension of value) {
    if (!isCount(dimension)) fail(`shape [${value.map(shown)}]: ${shown(dimension)} is not a count below 2^53`);
  }
  return value as number[];
}

function parseOffsets(value: JsonValue | undefined, fail: Fail): [number, number] {
  if (!Array.isArray(value) || value.length !== 2) return fail('data_offsets must be an array [begin, end]');
  for (const offset of value) {
    if (!isCount(offset)) fail(`data_offsets [${value.map(shown)}]: ${shown(offset)} is not a count below 2^53`);
  }
  const [begin, end] = value as [number, number];
  if (end < begin) fail(`data_offsets [${begin}, ${end}] end before they begin`);
  return [begin, end];
}

function isCount(value: JsonValue): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Partial products are checked too: the reference implementation refuses an overflow even if a 0 follows. */
function storedBytes(dtype: DType, shape: readonly number[], fail: Fail): number {
  let elements = 1;
  for (const dimension of shape) {
    elements *= dimension;
    if (!Number.isSafeInteger(elements)) fail(`shape [${shape}] has more than 2^53 elements`);
  }
  const bits = elements * dtypeBits(dtype);
  if (!Number.isSafeInteger(bits)) fail(`shape [${shape}] of ${dtype} has more than 2^53 bits`);
  if (bits % 8 !== 0) fail(`shape [${shape}] of ${dtype} (${dtypeBits(dtype)} bits each) does not fill whole bytes`);
  return bits / 8;
}

/** The tensors must cover the data exactly: no hole, no overlap, nothing before, nothing after. */
function checkCover(file: string, tensors: readonly HeaderTensor[], dataStart: number, fileBytes: number): void {
  let covered = dataStart;
  for (const [i, { name, begin, end }] of tensors.entries()) {
    if (begin !== covered) {
      const what = begin > covered ? `a hole of ${begin - covered} bytes lies` : `${covered - begin} bytes overlap`;
      const before = i === 0 ? 'the start of the data' : `tensor ${JSON.stringify(tensors[i - 1]!.name)}`;
      throw new FormatError({ file, tensor: name, reason: `${what} between it and ${before}` });
    }
    if (end > fileBytes) {
      const reason = `it ends at byte ${end}, but the file has ${fileBytes}: cut, or not fully downloaded`;
      throw new FormatError({ file, tensor: name, reason });
    }
    covered = end;
  }
  if (covered !== fileBytes) {
    throw new FormatError({ file, reason: `${fileBytes - covered} bytes follow the last tensor` });
  }
}

function shown(value: JsonValue | undefined): string {
  if (value instanceof Map) return 'an object';
  if (Array.isArray(value)) return 'an array';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
