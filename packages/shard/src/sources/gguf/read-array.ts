import { FormatError } from '@airllm/loader';
import type { SourceFiles } from '../source-files';
import { decodeText } from './text';
import { type GgufArray, numberAt, VALUE_BYTES } from './value-types';

/** The largest known vocabulary (Gemma 3) has 262,144 tokens and 514,906 merges. */
const MAX_ITEMS = 2 ** 20;
/** Of one array; merges take some 20 bytes each. */
const MAX_BYTES = 32 * 2 ** 20;

/** Reads an array of strings. `key` is for messages. Throws `FormatError`, `ReadError`. */
export async function readStrings(key: string, array: GgufArray, files: SourceFiles): Promise<string[]> {
  if (array.of !== 'string') throw wrongItems(key, array, 'strings');
  const bytes = await arrayBytes(key, array, files);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const strings = new Array<string>(array.count);
  let at = 0;
  for (let i = 0; i < array.count; i++) {
    // Lengths were followed to the end of the array when the header was read.
    const length = Number(view.getBigUint64(at, true));
    strings[i] = decodeText(bytes.subarray(at + 8, at + 8 + length), () => {
      return new FormatError({ file: array.file, reason: `metadata "${key}": string ${i} is not UTF-8` });
    });
    at += 8 + length;
  }
  return strings;
}

/** Reads an array of numbers, as doubles. Throws `FormatError`, `ReadError`. */
export async function readNumbers(key: string, array: GgufArray, files: SourceFiles): Promise<Float64Array> {
  const { of } = array;
  if (of === 'string' || of === 'array' || of === 'bool') throw wrongItems(key, array, 'numbers');
  const bytes = await arrayBytes(key, array, files);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const numbers = new Float64Array(array.count);
  for (let i = 0; i < numbers.length; i++) numbers[i] = Number(numberAt(of, view, i * VALUE_BYTES[of]));
  return numbers;
}

async function arrayBytes(key: string, array: GgufArray, files: SourceFiles): Promise<Uint8Array> {
  const { file, offset, byteLength, count } = array;
  if (count > MAX_ITEMS || byteLength > MAX_BYTES) {
    const reason = `metadata "${key}" has ${count} items in ${byteLength} bytes; at most ${MAX_ITEMS} in ${MAX_BYTES} are accepted`;
    throw new FormatError({ file, reason });
  }
  return files.with(file, file, (opened) => opened.read(offset, byteLength));
}

function wrongItems(key: string, array: GgufArray, wanted: string): FormatError {
  return new FormatError({
    file: array.file,
    reason: `metadata "${key}" must be an array of ${wanted}, found ${array.of}`,
  });
}
