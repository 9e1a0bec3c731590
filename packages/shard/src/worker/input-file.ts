import { closeSync, constants, openSync, readSync } from 'node:fs';
import type { HostBuffer } from '@airllm/loader';
import { alignDown, alignUp, BLOCK, errnoName } from '../system';
import { JobFailure } from './protocol';

/** Reads a file front to back in large blocking requests, past the page cache where the drive allows it. */
export class InputFile {
  readonly path: string;
  readonly #buffer: Uint8Array;
  #fd: number;
  #direct: boolean;

  constructor(path: string, buffer: HostBuffer, direct: boolean) {
    this.path = path;
    this.#buffer = buffer.bytes();
    this.#direct = direct && constants.O_DIRECT !== undefined;
    this.#fd = this.#open();
  }

  /**
   * The bytes of a range, piece by piece; a piece is valid until the next is asked for. All pieces but the last hold
   * whole elements of `width` bytes.
   */
  *chunks(offset: number, length: number, width = 1): Generator<Uint8Array> {
    const end = offset + length;
    for (let at = offset; at < end; ) {
      const start = this.#direct ? alignDown(at, BLOCK) : at;
      const wanted = Math.min(this.#buffer.length, end - start);
      const found = this.#fill(start, wanted);
      if (found < wanted) {
        throw new JobFailure({
          kind: 'read',
          file: this.path,
          offset: at,
          expected: end - at,
          found: Math.max(0, start + found - at),
        });
      }
      const last = start + wanted === end;
      const piece = this.#buffer.subarray(
        at - start,
        last ? wanted : at - start + alignDown(wanted - (at - start), width),
      );
      yield piece;
      at += piece.length;
    }
  }

  /** Bytes read from `start` on into the buffer, at least `wanted` unless the file ends. */
  #fill(start: number, wanted: number): number {
    let found = 0;
    while (found < wanted) {
      // A direct request is whole blocks; at the end of the file it comes back shorter.
      const length = this.#direct
        ? Math.min(alignUp(wanted - found, BLOCK), this.#buffer.length - found)
        : wanted - found;
      let count: number;
      try {
        count = readSync(this.#fd, this.#buffer, found, length, start + found);
      } catch (error) {
        const errno = errnoName(error);
        // An open with O_DIRECT can succeed where the read is refused.
        if (errno === 'EINVAL' && this.#direct) {
          this.#reopenPlain();
          continue;
        }
        throw new JobFailure({
          kind: 'read',
          file: this.path,
          offset: start + found,
          expected: wanted - found,
          found: 0,
          ...(errno && { errno }),
        });
      }
      if (count === 0) break;
      found += count;
      if (this.#direct && found % BLOCK !== 0) break;
    }
    return Math.min(found, wanted);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #open(): number {
    try {
      return openSync(this.path, constants.O_RDONLY | (this.#direct ? constants.O_DIRECT : 0));
    } catch (error) {
      const errno = errnoName(error);
      if (errno === 'EINVAL' && this.#direct) {
        this.#direct = false;
        return this.#open();
      }
      throw new JobFailure({
        kind: 'read',
        file: this.path,
        offset: 0,
        expected: 0,
        found: 0,
        ...(errno && { errno }),
      });
    }
  }

  #reopenPlain(): void {
    closeSync(this.#fd);
    this.#direct = false;
    this.#fd = this.#open();
  }
}
