export const OPEN_BRACE = 0x7b;
export const OPEN_BRACKET = 0x5b;
export const CLOSE_BRACE = 0x7d;
export const CLOSE_BRACKET = 0x5d;
export const COLON = 0x3a;
export const COMMA = 0x2c;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ESCAPED: Record<string, number> = { b: 8, t: 9, n: 10, f: 12, r: 13, '"': 0x22, '\\': 0x5c, '/': 0x2f };

/** A string as UTF-8 without escapes: within the file itself, or within a copy where it has escapes. */
export class JsonText {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  copy = new Uint8Array(256);

  toString(): string {
    return utf8.decode(this.bytes.subarray(this.start, this.end));
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const encoder = new TextEncoder();

/** Of numbers and of true, false, null: letters, digits and `+`, `-`, `.`. */
function isWordByte(byte = 0): boolean {
  const letter = byte | 0x20;
  const isDigit = byte >= 0x30 && byte <= 0x39;
  return isDigit || (letter >= 0x61 && letter <= 0x7a) || byte === 0x2b || byte === 0x2d || byte === 0x2e;
}

/** Walks over JSON bytes. Throws SyntaxError where they are not what is asked for. */
export class JsonReader {
  /** The last string read; valid until the next one. */
  readonly text = new JsonText();

  constructor(
    private readonly bytes: Uint8Array,
    public at = 0,
    private readonly end = bytes.length,
  ) {
    this.space();
  }

  /** The next byte that is no white space; 0 at the end. */
  peek(): number {
    return this.at < this.end ? this.bytes[this.at]! : 0;
  }

  /** Goes through an object; `visit` must read or skip the value. */
  members(visit: (key: string) => void): void {
    for (let more = this.open(OPEN_BRACE, CLOSE_BRACE); more; more = this.next(CLOSE_BRACE)) {
      this.string();
      const key = this.text.toString();
      this.expect(COLON);
      visit(key);
    }
  }

  /** Enters a list or an object; false where it is empty, which is then behind. */
  open(opening: number, closing: number): boolean {
    this.expect(opening);
    if (this.peek() !== closing) return true;
    this.expect(closing);
    return false;
  }

  /** Passes the comma before another item of the list or object, or its end, and then is false. */
  next(closing: number): boolean {
    const isMore = this.peek() === COMMA;
    this.expect(isMore ? COMMA : closing);
    return isMore;
  }

  expect(byte: number): void {
    if (this.peek() !== byte) this.fail(`expected '${String.fromCharCode(byte)}'`);
    this.at++;
    this.space();
  }

  /** Reads a number. */
  number(): number {
    const start = this.at;
    let value = 0;
    for (let byte = this.bytes[this.at]!; byte >= 0x30 && byte <= 0x39; byte = this.bytes[++this.at]!) {
      value = 10 * value + byte - 0x30;
    }
    const isWhole = this.at > start && !isWordByte(this.bytes[this.at]);
    if (!isWhole) this.skipWord();
    const number = isWhole ? value : Number(String.fromCharCode(...this.bytes.subarray(start, this.at)));
    this.space();
    return number;
  }

  /** Reads a string into `into`. */
  string(into: JsonText = this.text): void {
    const { bytes, end } = this;
    if (bytes[this.at] !== QUOTE) this.fail('expected a string');
    const start = this.at + 1;
    let at = start;
    let byte = bytes[at];
    while (at < end && byte !== QUOTE && byte !== BACKSLASH) byte = bytes[++at];
    if (byte === BACKSLASH) at = this.unescape(start, into);
    else {
      into.bytes = bytes;
      into.start = start;
      into.end = at;
    }
    if (at >= end) this.fail('a string does not end');
    this.at = at + 1;
    this.space();
  }

  /** Copies a string without its escapes, and returns where it ends. */
  private unescape(start: number, into: JsonText): number {
    const { bytes, end } = this;
    let length = 0;
    let at = start;
    for (; at < end && bytes[at] !== QUOTE; at++) {
      // An escape becomes at most four bytes.
      if (length + 4 > into.copy.length) {
        const larger = new Uint8Array(2 * into.copy.length);
        larger.set(into.copy);
        into.copy = larger;
      }
      if (bytes[at] !== BACKSLASH) into.copy[length++] = bytes[at]!;
      else {
        const { code, last } = this.escape(at + 1);
        if (code < 0x80) into.copy[length++] = code;
        else length += encoder.encodeInto(String.fromCodePoint(code), into.copy.subarray(length)).written;
        at = last;
      }
    }
    into.bytes = into.copy;
    into.start = 0;
    into.end = length;
    return at;
  }

  /** The character an escape stands for, a pair of surrogates as one, and where it ends. */
  private escape(at: number): { code: number; last: number } {
    const kind = String.fromCharCode(this.bytes[at] ?? 0);
    if (kind !== 'u') {
      const code = ESCAPED[kind];
      if (code === undefined) this.fail('an unknown escape');
      return { code: code!, last: at };
    }
    const unit = this.hex(at + 1);
    const isPair = unit >= 0xd800 && unit < 0xdc00 && this.bytes[at + 5] === BACKSLASH && this.bytes[at + 6] === 0x75;
    const low = isPair ? this.hex(at + 7) : 0;
    if (low < 0xdc00 || low > 0xdfff) return { code: unit, last: at + 4 };
    return { code: 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), last: at + 10 };
  }

  private hex(at: number): number {
    const digits = String.fromCharCode(...this.bytes.subarray(at, at + 4));
    if (!/^[0-9a-f]{4}$/i.test(digits)) this.fail('a broken escape');
    return Number.parseInt(digits, 16);
  }

  /** Passes over a value without looking at it closely; returns how many strings it has. */
  skip(): number {
    const { bytes, end } = this;
    let depth = 0;
    let strings = 0;
    let at = this.at;
    do {
      const byte = bytes[at];
      if (byte === QUOTE) {
        strings++;
        at++;
        for (let char = bytes[at]; at < end && char !== QUOTE; char = bytes[at]) at += char === BACKSLASH ? 2 : 1;
        at++;
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        depth++;
        at++;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        depth--;
        at++;
      } else if (depth === 0) {
        this.at = at;
        this.skipWord();
        at = this.at;
      } else at++;
      if (at > end || (at === end && depth > 0)) this.fail('the file ends early');
    } while (depth > 0);
    this.at = at;
    this.space();
    return strings;
  }

  /** A number, true, false or null. */
  private skipWord(): void {
    const start = this.at;
    while (this.at < this.end && isWordByte(this.bytes[this.at])) this.at++;
    if (this.at === start) this.fail('expected a value');
  }

  private space(): void {
    let byte = this.bytes[this.at];
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = this.bytes[++this.at];
  }

  private fail(what: string): never {
    throw new SyntaxError(`${what} at byte ${this.at}`);
  }
}
