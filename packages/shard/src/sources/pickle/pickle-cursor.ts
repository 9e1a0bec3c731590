import { fault, PickleEnd } from './pickle-fault';

/** Lines of protocol 0 hold numbers and names. */
const MAX_LINE_BYTES = 4096;
/** Wider than any number of a checkpoint: strides are 64 bits, the legacy magic number 77. */
const MAX_LONG_BYTES = 16;

/** Reads a pickle's arguments front to back; no read leaves the bytes. */
export class PickleCursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Lengths beyond it are refused at once, whatever bytes there are. */
  readonly #limit: number;
  readonly #wide = new DataView(new ArrayBuffer(MAX_LONG_BYTES));
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  at: number;

  constructor(bytes: Uint8Array, at: number, limit: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#limit = limit;
    this.at = at;
  }

  uint8(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#skip(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#skip(4), true);
  }

  float64(): number {
    return this.#view.getFloat64(this.#skip(8), false);
  }

  /** A length of 64 bits. */
  length64(): number {
    const length = this.#view.getBigUint64(this.#skip(8), true);
    if (length > BigInt(this.#limit)) this.#tooLong(length);
    return Number(length);
  }

  /** A view, not a copy. */
  bytes(length: number): Uint8Array {
    const start = this.#skip(length);
    return this.#bytes.subarray(start, start + length);
  }

  text(length: number): string {
    const bytes = this.bytes(length);
    try {
      return this.#utf8.decode(bytes);
    } catch {
      return fault('a string that is not UTF-8');
    }
  }

  /** Two's complement, least significant byte first. */
  long(length: number): number | bigint {
    if (length > MAX_LONG_BYTES) fault(`an integer of ${length} bytes; ${MAX_LONG_BYTES} are accepted`);
    const bytes = this.bytes(length);
    const sign = length > 0 && bytes[length - 1]! >= 0x80 ? 0xff : 0;
    const wide = this.#wide;
    for (let i = 0; i < MAX_LONG_BYTES; i++) wide.setUint8(i, i < length ? bytes[i]! : sign);
    return small((wide.getBigInt64(8, true) << 64n) | wide.getBigUint64(0, true));
  }

  /** Up to a line feed, which is left out. */
  line(): string {
    const end = this.#bytes.subarray(this.at, this.at + MAX_LINE_BYTES).indexOf(0x0a);
    if (end >= 0) {
      const text = this.text(end);
      this.at++;
      return text;
    }
    if (this.#bytes.length - this.at < MAX_LINE_BYTES) throw new PickleEnd();
    return fault(`a line of more than ${MAX_LINE_BYTES} bytes`);
  }

  /** A number in decimal digits, as protocol 0 writes them. */
  decimal(): number | bigint {
    const line = this.line();
    const match = /^(-?\d{1,38})L?$/.exec(line);
    return match === null ? fault('a line that is not a number') : small(BigInt(match[1]!));
  }

  #skip(length: number): number {
    if (length > this.#limit) this.#tooLong(length);
    const start = this.at;
    if (length > this.#bytes.length - start) throw new PickleEnd();
    this.at += length;
    return start;
  }

  #tooLong(length: number | bigint): never {
    fault(`an item claims ${length} bytes; ${this.#limit} are accepted`);
  }
}

function small(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
