import { closeSync, constants, fsyncSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { errnoName, type HostBuffer } from '@airllm/loader';
import { alignUp, BLOCK } from '../alignment';
import { JobFailure } from './protocol';

/** Writes a file front to back in large blocking requests, past the page cache where the drive allows it. */
export class OutputFile {
  readonly path: string;
  readonly #buffer: Uint8Array;
  #fd: number;
  #direct: boolean;
  /** Bytes waiting in the buffer. */
  #waiting = 0;
  /** Bytes written. */
  #written = 0;

  constructor(path: string, buffer: HostBuffer, direct: boolean) {
    this.path = path;
    this.#buffer = buffer.bytes();
    this.#direct = direct && constants.O_DIRECT !== undefined;
    this.#fd = this.#attempt(() => this.#open());
  }

  /** Bytes appended so far. */
  get position(): number {
    return this.#written + this.#waiting;
  }

  append(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      const count = Math.min(bytes.length - from, this.#buffer.length - this.#waiting);
      this.#buffer.set(bytes.subarray(from, from + count), this.#waiting);
      this.#advance(count);
      from += count;
    }
  }

  /** Appends zeros up to an offset. */
  zerosTo(offset: number): void {
    while (this.position < offset) {
      const count = Math.min(offset - this.position, this.#buffer.length - this.#waiting);
      this.#buffer.fill(0, this.#waiting, this.#waiting + count);
      this.#advance(count);
    }
  }

  /** Makes everything durable and closes. */
  finish(): void {
    this.#attempt(() => {
      const bytes = this.position;
      if (this.#waiting > 0) {
        const whole = this.#direct ? alignUp(this.#waiting, BLOCK) : this.#waiting;
        this.#buffer.fill(0, this.#waiting, whole);
        this.#write(whole);
        if (whole !== this.#waiting) ftruncateSync(this.#fd, bytes);
      }
      fsyncSync(this.#fd);
      this.#close();
    });
  }

  /** Removes what was begun. */
  discard(): void {
    this.#close();
    rmSync(this.path, { force: true });
  }

  #close(): void {
    const fd = this.#fd;
    // First of all: closing a number twice would close somebody else's file.
    this.#fd = -1;
    if (fd >= 0) closeSync(fd);
  }

  #advance(count: number): void {
    this.#waiting += count;
    if (this.#waiting < this.#buffer.length) return;
    this.#attempt(() => this.#write(this.#waiting));
    this.#written += this.#waiting;
    this.#waiting = 0;
  }

  #write(length: number): void {
    for (let done = 0; done < length; ) {
      try {
        done += writeSync(this.#fd, this.#buffer, done, length - done, this.#written + done);
      } catch (error) {
        // An open with O_DIRECT can succeed where the write is refused (and a write cut short goes on unaligned).
        if (errnoName(error) !== 'EINVAL' || !this.#direct) throw error;
        this.#close();
        this.#direct = false;
        this.#fd = openSync(this.path, constants.O_WRONLY);
      }
    }
  }

  #open(): number {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC;
    if (!this.#direct) return openSync(this.path, flags);
    try {
      return openSync(this.path, flags | constants.O_DIRECT);
    } catch (error) {
      if (errnoName(error) !== 'EINVAL') throw error;
      this.#direct = false;
      return openSync(this.path, flags);
    }
  }

  #attempt<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      const errno = errnoName(error);
      throw new JobFailure({
        kind: 'write',
        file: this.path,
        message: (error as Error).message,
        ...(errno && { errno }),
      });
    }
  }
}
