import type { FileHandle } from 'node:fs/promises';
import { FormatError, ReadError } from '@airllm/loader';

/** Headers have 1 to 13 MB: some tens of reads, and little memory beside what the process needs anyway. */
const WINDOW_BYTES = 256 * 1024;

/**
 * Reads a header of unknown length front to back through a small window. `need` waits for bytes; what follows up to the
 * next `need` is synchronous, so that half a million strings do not cost half a million promises.
 */
export class HeaderCursor {
  readonly #handle: FileHandle;
  readonly file: string;
  readonly fileBytes: number;
  #window: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  /** Offset of the window's first byte in the file. */
  #start = 0;
  #position = 0;

  constructor(handle: FileHandle, file: string, fileBytes: number) {
    this.#handle = handle;
    this.file = file;
    this.fileBytes = fileBytes;
  }

  /** Offset in the file of the next byte. */
  get position(): number {
    return this.#position;
  }

  /** Bytes of the file that follow. */
  get remaining(): number {
    return this.fileBytes - this.#position;
  }

  /** Bytes that can be taken without waiting. */
  get ready(): number {
    return this.#start + this.#window.byteLength - this.#position;
  }

  /** Waits until `bytes` can be taken. Throws `FormatError` saying that `what` is cut, or `ReadError`. */
  async need(bytes: number, what: string): Promise<void> {
    if (this.ready >= bytes) return;
    if (bytes > this.remaining) {
      const reason = `the header is cut: ${what} takes ${bytes} bytes at offset ${this.#position}, the file has ${this.remaining}`;
      throw new FormatError({ file: this.file, reason });
    }
    const length = Math.min(Math.max(bytes, WINDOW_BYTES), this.remaining);
    const window = new Uint8Array(length);
    await readFully(this.#handle, this.file, window, this.#position);
    this.#window = window;
    this.#view = new DataView(window.buffer);
    this.#start = this.#position;
  }

  u8(): number {
    return this.#window[this.#advance(1)]!;
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#advance(8), true);
  }

  /** A view of the next bytes; it stays valid, but holds on to the whole window. */
  take(bytes: number): Uint8Array {
    const at = this.#advance(bytes);
    return this.#window.subarray(at, at + bytes);
  }

  /** Passes over bytes, which are not read. The caller has checked that the file has them. */
  skip(bytes: number): void {
    this.#position += bytes;
  }

  #advance(bytes: number): number {
    const at = this.#position - this.#start;
    this.#position += bytes;
    return at;
  }
}

/** Fills `bytes` from `offset` of the file, or throws `ReadError`: never zeros. */
export async function readFully(handle: FileHandle, file: string, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const left = bytes.byteLength - done;
    const { bytesRead } = await handle.read(bytes, done, left, offset + done).catch((cause: unknown) => {
      const errno = (cause as NodeJS.ErrnoException).code;
      throw new ReadError({ file, offset, expected: bytes.byteLength, found: done, errno, cause });
    });
    if (bytesRead === 0) throw new ReadError({ file, offset, expected: bytes.byteLength, found: done });
    done += bytesRead;
  }
}
