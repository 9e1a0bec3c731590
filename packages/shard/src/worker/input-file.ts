import { closeSync, constants, openSync, readSync } from 'node:fs';
import { errnoName, type HostBuffer } from '@airllm/loader';
import { alignDown, alignUp, BLOCK } from '../alignment';
import { JobFailure } from './protocol';

export interface InputOptions {
  /** Past the page cache where the drive allows it. */
  readonly direct: boolean;
  /** Take what the page cache holds already: a model just downloaded need not be read from the drive again. */
  readonly useCache: boolean;
}

/** Long enough to tell memory from a drive by the time it takes. */
const PROBE_BYTES = 256 << 10;
/** Bytes per millisecond. Copying out of the page cache is faster, one request to a drive slower. */
const CACHE_SPEED = 4_000_000;

/** Reads a file front to back in large blocking requests. */
export class InputFile {
  readonly path: string;
  readonly #buffer: Uint8Array;
  readonly #useCache: boolean;
  readonly #plain: number;
  /** -1: the drive does not know it, or it was not asked for. */
  #direct: number;

  constructor(path: string, buffer: HostBuffer, options: InputOptions) {
    this.path = path;
    this.#buffer = buffer.bytes();
    this.#useCache = options.useCache;
    this.#plain = this.#openPlain();
    this.#direct = options.direct && constants.O_DIRECT !== undefined ? this.#openDirect() : -1;
  }

  /**
   * The bytes of a range, piece by piece; a piece is valid until the next is asked for. All pieces but the last hold
   * whole elements of `width` bytes.
   */
  *chunks(offset: number, length: number, width = 1): Generator<Uint8Array> {
    const end = offset + length;
    let cached = this.#isCached(offset, end);
    for (let at = offset; at < end; ) {
      const direct = this.#direct >= 0 && !cached;
      const start = direct ? alignDown(at, BLOCK) : at;
      const wanted = Math.min(this.#buffer.length, end - start);
      const began = performance.now();
      const found = this.#fill(start, wanted, direct);
      const slow = wanted / (performance.now() - began) < CACHE_SPEED / 2;
      if (found < wanted) {
        const arrived = Math.max(0, start + found - at);
        throw new JobFailure({ kind: 'read', file: this.path, offset: at, expected: end - at, found: arrived });
      }
      const usable = wanted - (at - start);
      const whole = start + wanted === end ? usable : alignDown(usable, width);
      yield this.#buffer.subarray(at - start, at - start + whole);
      at += whole;
      // The cache may hold only a part; or something else took the processor for a moment.
      if (cached && slow) cached = this.#isCached(at, end);
    }
  }

  close(): void {
    closeSync(this.#plain);
    if (this.#direct >= 0) closeSync(this.#direct);
  }

  /** Asks twice, and far ahead, where the kernel has not read ahead because of what was read before. */
  #isCached(from: number, to: number): boolean {
    if (!this.#useCache || this.#direct < 0 || to - from < 4 * PROBE_BYTES) return false;
    return [0.4, 0.7].some((part) => {
      const at = from + Math.floor((to - from) * part);
      const began = performance.now();
      return this.#fill(at, PROBE_BYTES, false) / (performance.now() - began) > CACHE_SPEED;
    });
  }

  /** Bytes read from `start` on into the buffer: `wanted`, or fewer where the file ends. */
  #fill(start: number, wanted: number, direct: boolean): number {
    let found = 0;
    while (found < wanted) {
      const useDirect = direct && this.#direct >= 0 && found % BLOCK === 0;
      // A direct request is whole blocks; at the end of the file it comes back shorter.
      const length = useDirect ? alignUp(wanted - found, BLOCK) : wanted - found;
      const count = this.#read(start + found, found, length, useDirect);
      if (count === 0) break;
      if (count > 0) found += count;
    }
    return Math.min(found, wanted);
  }

  /** Bytes read, or -1 to ask again. */
  #read(position: number, into: number, length: number, direct: boolean): number {
    try {
      return readSync(direct ? this.#direct : this.#plain, this.#buffer, into, length, position);
    } catch (error) {
      const errno = errnoName(error);
      if (errno !== 'EINVAL' || !direct) throw this.#failure(error, position, length);
      // An open with O_DIRECT can succeed where the read is refused.
      closeSync(this.#direct);
      this.#direct = -1;
      return -1;
    }
  }

  #openDirect(): number {
    try {
      return openSync(this.path, constants.O_RDONLY | constants.O_DIRECT);
    } catch {
      return -1;
    }
  }

  #openPlain(): number {
    try {
      return openSync(this.path, constants.O_RDONLY);
    } catch (error) {
      throw this.#failure(error, 0, 0);
    }
  }

  #failure(error: unknown, offset: number, expected: number): JobFailure {
    const errno = errnoName(error);
    return new JobFailure({ kind: 'read', file: this.path, offset, expected, found: 0, ...(errno && { errno }) });
  }
}
