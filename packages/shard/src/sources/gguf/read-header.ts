import { resolve } from 'node:path';
import { FormatError } from '@airllm/loader';
import { SourceFiles } from '../source-files';
import { ggmlType, unknownType } from './ggml-types';
import { HeaderCursor } from './header-cursor';
import { checkNames, checkOverlap, type GgufTensor, measure, place, type TensorInfo } from './tensor-info';
import { decodeText, quoted } from './text';
import { type GgufValue, type GgufValueType, numberAt, VALUE_BYTES, VALUE_TYPES } from './value-types';

// The format: ggml's docs/gguf.md, and what gguf.cpp refuses.

/** Real files have some 50 keys. */
const MAX_KEYS = 16_384;
/** Experts are stacked, so that a layer has some twenty tensors; files of 2023 had one per expert, about 1,000 in all. */
const MAX_TENSORS = 65_536;
/** ggml holds 63 bytes. */
const MAX_NAME_BYTES = 256;
/** The format's own limit. */
const MAX_KEY_BYTES = 65_535;
/** Keys and strings that are kept; the longest chat template known here has 17 KB. Arrays stay in the file. */
const MAX_TEXT_BYTES = 16 * 2 ** 20;
/** gpt-oss's 199,998 tokens and 446,189 merges make 13 MB, the most of the families known here. */
const MAX_HEADER_BYTES = 128 * 2 ** 20;
/** The format nests arrays without a limit, and llama.cpp reads none that is nested. */
const MAX_DEPTH = 4;
const MAX_NESTED = 65_536;
const MAX_DIMENSIONS = 4;
const DEFAULT_ALIGNMENT = 32;

export interface GgufHeader {
  readonly file: string;
  readonly fileBytes: number;
  readonly version: number;
  readonly alignment: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** In the order of the header. */
  readonly tensors: readonly GgufTensor[];
}

/**
 * Reads and checks the header of one GGUF file, versions 2 and 3, and nothing but the header. Arrays are passed over and
 * read when asked for. Throws `FormatError` naming key or tensor, `ReadError`, `MissingFileError`.
 */
export async function readGgufHeader(path: string, files: SourceFiles = new SourceFiles()): Promise<GgufHeader> {
  const file = resolve(path);
  return files.with(file, file, (opened) => new HeaderReader(new HeaderCursor(opened)).read());
}

class HeaderReader {
  readonly #cursor: HeaderCursor;
  #textBytes = 0;
  #nested = 0;

  constructor(cursor: HeaderCursor) {
    this.#cursor = cursor;
  }

  async read(): Promise<GgufHeader> {
    const { file, fileBytes } = this.#cursor;
    const version = await this.#version();
    await this.#cursor.need(16, 'the counts of tensors and of metadata');
    const tensorCount = this.#count('tensors', MAX_TENSORS, 8 + 4 + 4 + 8);
    const keyCount = this.#count('metadata keys', MAX_KEYS, 8 + 4 + 1);
    const metadata = await this.#metadata(keyCount);
    const alignment = this.#alignment(metadata.get('general.alignment'));
    const infos: TensorInfo[] = [];
    for (let i = 0; i < tensorCount; i++) infos.push(await this.#tensorInfo(i));
    const dataStart = Math.ceil(this.#cursor.position / alignment) * alignment;
    const tensors = infos.map((info) => place(info, { file, fileBytes, alignment, dataStart }));
    checkNames(file, tensors);
    checkOverlap(file, tensors);
    return { file, fileBytes, version, alignment, metadata, tensors };
  }

  async #version(): Promise<number> {
    const cursor = this.#cursor;
    if (cursor.fileBytes === 0) this.#fail('the file is empty');
    await cursor.need(4, 'the magic number');
    const magic = cursor.take(4);
    if (String.fromCharCode(...magic) !== 'GGUF') {
      const bytes = [...magic].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
      this.#fail(`it does not begin with the magic number GGUF but with the bytes ${bytes}: not a GGUF file`);
    }
    await cursor.need(4, 'the version');
    const version = cursor.u32();
    if (version === 1) this.#fail('version 1 (32-bit counts, 2023) is not supported; convert the model anew');
    if ((version & 0xffff) === 0 && version !== 0) {
      this.#fail('it is a big-endian file; only little-endian ones are supported');
    }
    if (version !== 2 && version !== 3) this.#fail(`version ${version} is unknown; 2 and 3 are supported`);
    return version;
  }

  /** A count, checked against a limit and against the bytes that so many entries take at least. */
  #count(what: string, limit: number, leastBytes: number): number {
    const count = this.#cursor.u64();
    if (count > BigInt(limit)) this.#fail(`it claims ${count} ${what}; at most ${limit} are accepted`);
    if (Number(count) * leastBytes > this.#cursor.remaining) {
      this.#fail(`it claims ${count} ${what}, for which the file (${this.#cursor.fileBytes} bytes) is too short`);
    }
    return Number(count);
  }

  async #metadata(count: number): Promise<Map<string, GgufValue>> {
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < count; i++) {
      const key = await this.#text(`metadata key ${i}`, MAX_KEY_BYTES);
      if (metadata.has(key)) this.#fail(`metadata ${quoted(key)} stands there twice`);
      metadata.set(key, await this.#value(key));
      if (this.#cursor.position > MAX_HEADER_BYTES) this.#fail(`metadata ${quoted(key)} ends beyond 128 MiB of header`);
    }
    return metadata;
  }

  async #value(key: string): Promise<GgufValue> {
    const where = `metadata ${quoted(key)}`;
    const type = await this.#type(where);
    if (type === 'array') return this.#array(where);
    if (type === 'string') return { type, value: await this.#text(where, MAX_TEXT_BYTES) };
    await this.#cursor.need(VALUE_BYTES[type], where);
    const bytes = this.#cursor.take(VALUE_BYTES[type]);
    if (type === 'bool') {
      if (bytes[0]! > 1) this.#fail(`${where}: a bool must be 0 or 1, found ${bytes[0]}`);
      return { type, value: bytes[0] === 1 };
    }
    return { type, value: numberAt(type, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0) };
  }

  async #type(where: string): Promise<GgufValueType> {
    await this.#cursor.need(4, `the type of ${where}`);
    const id = this.#cursor.u32();
    const type = VALUE_TYPES[id];
    if (type === undefined) throw this.#error(`${where}: value type ${id} is unknown`);
    return type;
  }

  async #array(where: string): Promise<GgufValue> {
    const { of, count } = await this.#arrayHead(where);
    const { file, position: offset } = this.#cursor;
    await this.#skipItems(where, of, count, 1);
    return { type: 'array', of, count, file, offset, byteLength: this.#cursor.position - offset };
  }

  async #arrayHead(where: string): Promise<{ of: GgufValueType; count: number }> {
    const of = await this.#type(`the items of ${where}`);
    await this.#cursor.need(8, `the length of ${where}`);
    const count = this.#cursor.u64();
    const room = BigInt(Math.min(this.#cursor.remaining, MAX_HEADER_BYTES));
    if (count * BigInt(VALUE_BYTES[of]) > room) {
      this.#fail(
        `${where}: an array of ${count} items (${of}) runs past the end of the file, or 128 MiB, from offset ` +
          `${this.#cursor.position} on`,
      );
    }
    return { of, count: Number(count) };
  }

  async #skipItems(where: string, of: GgufValueType, count: number, depth: number): Promise<void> {
    if (of === 'array') {
      if (depth === MAX_DEPTH) this.#fail(`${where}: arrays are nested more than ${MAX_DEPTH} deep`);
      this.#nested += count;
      if (this.#nested > MAX_NESTED) this.#fail(`${where}: more than ${MAX_NESTED} arrays in arrays`);
      for (let i = 0; i < count; i++) {
        const inner = await this.#arrayHead(where);
        await this.#skipItems(where, inner.of, inner.count, depth + 1);
      }
    } else if (of === 'string') await this.#skipStrings(where, count);
    else this.#cursor.skip(count * VALUE_BYTES[of]);
  }

  async #skipStrings(where: string, count: number): Promise<void> {
    const cursor = this.#cursor;
    for (let i = 0; i < count; i++) {
      if (cursor.ready < 8) await cursor.need(8, `the length of string ${i} of ${where}`);
      const bytes = this.#length(`string ${i} of ${where}`, cursor.u64(), MAX_HEADER_BYTES);
      cursor.skip(bytes);
    }
  }

  async #text(what: string, limit: number): Promise<string> {
    await this.#cursor.need(8, `the length of ${what}`);
    const length = this.#length(what, this.#cursor.u64(), limit);
    this.#textBytes += length;
    if (this.#textBytes > MAX_TEXT_BYTES) this.#fail(`${what}: keys and strings take more than 16 MiB`);
    await this.#cursor.need(length, what);
    return decodeText(this.#cursor.take(length), () => this.#error(`${what} is not UTF-8`));
  }

  #length(what: string, length: bigint, limit: number): number {
    if (length > BigInt(this.#cursor.remaining)) {
      const at = this.#cursor.position;
      this.#fail(`${what}: ${length} bytes at offset ${at} run past the end of the file (${this.#cursor.fileBytes})`);
    }
    if (length > BigInt(limit)) this.#fail(`${what} has ${length} bytes; at most ${limit} are accepted`);
    return Number(length);
  }

  #alignment(value: GgufValue | undefined): number {
    if (value === undefined) return DEFAULT_ALIGNMENT;
    if (value.type !== 'u32') this.#fail(`metadata "general.alignment" must be a u32, found ${value.type}`);
    const { value: alignment } = value as { value: number };
    if (alignment === 0 || (alignment & (alignment - 1)) !== 0) {
      this.#fail(`metadata "general.alignment" is ${alignment}, which is not a power of two`);
    }
    return alignment;
  }

  async #tensorInfo(index: number): Promise<TensorInfo> {
    const cursor = this.#cursor;
    const name = await this.#text(`the name of tensor ${index}`, MAX_NAME_BYTES);
    const fail = (reason: string): never => {
      throw new FormatError({ file: cursor.file, tensor: name, reason });
    };
    await cursor.need(4, `the dimensions of tensor ${quoted(name)}`);
    const rank = cursor.u32();
    if (rank > MAX_DIMENSIONS) fail(`${rank} dimensions; at most ${MAX_DIMENSIONS} are possible`);
    await cursor.need(8 * rank + 12, `the entry of tensor ${quoted(name)}`);
    const dimensions = Array.from({ length: rank }, () => cursor.u64());
    const typeId = cursor.u32();
    const type = ggmlType(typeId) ?? fail(unknownType(typeId));
    return { name, type, ...measure(dimensions, type, fail), offset: cursor.u64() };
  }

  #error(reason: string): FormatError {
    return new FormatError({ file: this.#cursor.file, reason });
  }

  #fail(reason: string): never {
    throw this.#error(reason);
  }
}
