import { FormatError } from '@airllm/loader';
import type { RangedFile } from '../source-files';

/** Headers have 1 to 13 MB: some tens of reads, and little memory beside what the process needs anyway. */
const WINDOW_BYTES = 256 * 1024;

/**
 * Reads a header of unknown length front to back through a small window. `need` waits for bytes; what follows up to the
 * next `need` is synchronous, so that half a million strings do not cost half a million promises.
 */
export class HeaderCursor {
  readonly #file: RangedFile;
  #window: Uint8Array = new Uint8Array(0);
  #view = new DataView(this.#window.buffer);
  /** Offset of the window's first byte in the file. */
  #start = 0;
  #position = 0;

  constructor(file: RangedFile) {
    this.#file = file;
  }

  get file(): string {
    return this.#file.path;
  }

  get fileBytes(): number {
    return this.#file.size;
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
    const window = await this.#file.read(this.#position, length);
    this.#window = window;
    this.#view = new DataView(window.buffer, window.byteOffset, length);
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
