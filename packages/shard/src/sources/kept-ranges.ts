/** What is asked for at once at first. */
const PIECE_BYTES = 64 * 1024;
/** One after the other, requests grow up to this: a header of 13 MB takes ten round trips, not two hundred. */
const MAX_REQUEST_BYTES = 4 * 2 ** 20;
/** More than the largest headers have; what a file claims beyond is read again when it is wanted again. */
const MAX_KEPT_BYTES = 64 * 2 ** 20;

/**
 * Ranges of a file that is far away, by pieces at multiples of 64 KiB, each asked for once and kept. Who reads on where
 * the last request ended gets twice as much at a time.
 */
export class KeptRanges {
  readonly #size: number;
  readonly #fetch: (offset: number, length: number) => Promise<Uint8Array>;
  readonly #pieces = new Map<number, Promise<Uint8Array>>();
  /** Pieces of the last request, and the number of the one behind it. */
  #lastCount = 0;
  #lastEnd = 0;

  /** `fetch` brings exactly what it is asked for, of a file of `size` bytes. */
  constructor(size: number, fetch: (offset: number, length: number) => Promise<Uint8Array>) {
    this.#size = size;
    this.#fetch = fetch;
  }

  /** The bytes `[offset, offset + length)`, which lie within the file. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    if (length === 0) return bytes;
    const end = offset + length;
    const first = Math.floor(offset / PIECE_BYTES);
    const last = Math.floor((end - 1) / PIECE_BYTES);
    for (let piece = first; piece <= last; piece++) {
      const held = await (this.#pieces.get(piece) ?? this.#ask(piece, last));
      const start = piece * PIECE_BYTES;
      const from = Math.max(offset, start);
      bytes.set(held.subarray(from - start, Math.min(end - start, held.length)), from - offset);
    }
    return bytes;
  }

  /** Asks for the missing pieces from `piece` to `wanted`, and for more where the reader goes on. */
  #ask(piece: number, wanted: number): Promise<Uint8Array> {
    const ahead = piece === this.#lastEnd ? 2 * this.#lastCount : 1;
    const most = MAX_REQUEST_BYTES / PIECE_BYTES;
    const pieces = Math.ceil(this.#size / PIECE_BYTES);
    const limit = Math.min(pieces, piece + Math.min(Math.max(wanted + 1 - piece, ahead), most));
    let end = piece + 1;
    while (end < limit && !this.#pieces.has(end)) end++;
    const offset = piece * PIECE_BYTES;
    const coming = this.#fetch(offset, Math.min(end * PIECE_BYTES, this.#size) - offset);
    for (let each = piece; each < end; each++) {
      const at = (each - piece) * PIECE_BYTES;
      const part = coming.then((bytes) => Uint8Array.prototype.slice.call(bytes, at, at + PIECE_BYTES));
      // Whoever reads it is told.
      part.catch(() => this.#pieces.delete(each));
      this.#pieces.set(each, part);
    }
    this.#lastCount = end - piece;
    this.#lastEnd = end;
    const found = this.#pieces.get(piece)!;
    for (const oldest of this.#pieces.keys()) {
      if (this.#pieces.size * PIECE_BYTES <= MAX_KEPT_BYTES) break;
      this.#pieces.delete(oldest);
    }
    return found;
  }
}
