import { closeSync, openSync, readSync } from 'node:fs';
import { type Extent, errnoName } from '@airllm/loader';
import type { ByteSource } from '../plan/pieces';
import { JobFailure } from './protocol';
import type { Workspace } from './workspace';

/** Inputs of up to this size are read once and kept while their tensor is converted; of all together so much. */
const KEPT_BYTES = 8 << 20;
const KEPT_IN_ALL = 24 << 20;
/** What is read at once where one request continues the one before. */
const AHEAD_BYTES = 1 << 20;
/** An input read in strides is brought into the page cache in order first: a drive is slow at small jumps. */
const WARM_BYTES = 4 << 20;
const STRIDES = 3;
/** A cache that holds all of a larger one is not to be counted on. */
const LARGEST_WARMED = 1 << 30;

/**
 * The bytes that a codec asks for, in any order it likes, through the page cache: layouts that have to be transposed
 * are read in strides. Small inputs are kept, sequential reads of large ones are joined.
 */
export class ConversionInputs {
  readonly #inputs = new Map<string, Input>();
  readonly #files = new Map<string, number>();

  constructor(sources: Readonly<Record<string, ByteSource>>, workspace: Pick<Workspace, 'memory'>) {
    let kept = 0;
    for (const [name, source] of Object.entries(sources)) {
      if ('bytes' in source) {
        this.#inputs.set(name, new Input(source.bytes.length, source.bytes));
        continue;
      }
      const keep = source.length <= KEPT_BYTES && kept + source.length <= KEPT_IN_ALL;
      if (keep) kept += source.length;
      const fetch = (offset: number, length: number) => {
        const into = workspace.memory(`input ${name}`, length);
        this.#fetch(source, offset, into);
        return into;
      };
      this.#inputs.set(name, new Input(source.length, undefined, fetch, keep));
    }
  }

  readonly read = (input: string, byteOffset: number, byteLength: number): Uint8Array => {
    const found = this.#inputs.get(input);
    if (found === undefined) throw new RangeError(`there is no input ${input}`);
    if (!(byteOffset >= 0 && byteLength >= 0 && byteOffset + byteLength <= found.length)) {
      throw new RangeError(`bytes ${byteOffset} to ${byteOffset + byteLength} of ${found.length} of input ${input}`);
    }
    return found.bytes(byteOffset, byteLength);
  };

  close(): void {
    for (const fd of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }

  #fetch({ file, offset: start, length: expected }: Extent, offset: number, into: Uint8Array): void {
    const at = start + offset;
    let done = 0;
    try {
      let fd = this.#files.get(file);
      if (fd === undefined) {
        fd = openSync(file, 'r');
        this.#files.set(file, fd);
      }
      while (done < into.length) {
        const count = readSync(fd, into, done, into.length - done, at + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      const errno = errnoName(error);
      throw new JobFailure({ kind: 'read', file, offset: start, expected, found: offset, ...(errno && { errno }) });
    }
    if (done < into.length) {
      throw new JobFailure({ kind: 'read', file, offset: at, expected: into.length, found: done });
    }
  }
}

/** The bytes are valid until the next call. */
type Fetch = (offset: number, length: number) => Uint8Array;

class Input {
  readonly length: number;
  readonly #fetch: Fetch | undefined;
  readonly #keep: boolean;
  /** What was read last, and where it begins. */
  #window: Uint8Array;
  #begin = 0;
  #end = 0;
  #warm: boolean;
  #jumps = 0;

  constructor(length: number, bytes: Uint8Array | undefined, fetch?: Fetch, keep = false) {
    this.length = length;
    this.#window = bytes ?? new Uint8Array(0);
    this.#fetch = fetch;
    this.#keep = keep;
    this.#warm = length > LARGEST_WARMED;
  }

  bytes(offset: number, length: number): Uint8Array {
    const from = offset - this.#begin;
    if (from < 0 || from + length > this.#window.length) this.#load(offset, length);
    this.#end = offset + length;
    return this.#window.subarray(offset - this.#begin, offset - this.#begin + length);
  }

  #load(offset: number, length: number): void {
    if (this.#keep) this.#fill(0, this.length);
    else if (offset === this.#end) {
      this.#jumps = 0;
      this.#fill(offset, Math.min(this.length - offset, Math.max(length, AHEAD_BYTES)));
    } else {
      // One jump may be another run over the tensor.
      if (++this.#jumps >= STRIDES && !this.#warm && length < WARM_BYTES) this.#warmUp();
      this.#fill(offset, length);
    }
  }

  #fill(offset: number, length: number): void {
    this.#window = this.#fetch!(offset, length);
    this.#begin = offset;
  }

  #warmUp(): void {
    this.#warm = true;
    for (let at = 0; at < this.length; at += WARM_BYTES) this.#fill(at, Math.min(WARM_BYTES, this.length - at));
  }
}
