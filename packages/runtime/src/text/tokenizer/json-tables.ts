import { TokenizerError } from '../errors';
import { isJsonObject, type JsonObject } from '../json-file';

/** A part of a file's bytes, an object or a list of JSON. */
export interface JsonSpan {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** A tokenizer.json with its two long tables left as bytes. */
export interface TokenizerJsonParts {
  /** Everything else, parsed. */
  readonly json: JsonObject;
  /** `model.vocab`, where it is an object. */
  readonly vocab?: JsonSpan;
  /** `model.merges`. */
  readonly merges?: JsonSpan;
}

/**
 * Parses a tokenizer.json without its vocabulary and merges. As JavaScript values those two take up to a quarter of a
 * gigabyte for a moment, which the process keeps; read from the bytes one by one, they take nothing.
 *
 * @throws TokenizerError where it is not JSON.
 */
export function splitTokenizerJson(bytes: Uint8Array, file: string): TokenizerJsonParts {
  const tables: Partial<Record<'vocab' | 'merges', JsonSpan>> = {};
  const reader = new JsonReader(bytes);
  try {
    reader.members((key) => {
      if (key === 'model' && reader.peek() === '{') {
        reader.members((name) => {
          const start = reader.at;
          const isTable = (name === 'vocab' && reader.peek() === '{') || (name === 'merges' && reader.peek() === '[');
          reader.skip();
          if (isTable) tables[name as 'vocab' | 'merges'] = { bytes, start, end: reader.at };
        });
      } else reader.skip();
    });
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // JSON.parse says better what is wrong, and has the last word on whether anything is.
    return { json: parse(new TextDecoder().decode(bytes), file) };
  }
  const spans = Object.values(tables).sort((a, b) => a.start - b.start);
  let text = '';
  let at = 0;
  for (const { start, end } of spans) {
    text += `${new TextDecoder().decode(bytes.subarray(at, start))}null`;
    at = end;
  }
  return { json: parse(text + new TextDecoder().decode(bytes.subarray(at)), file), ...tables };
}

function parse(text: string, file: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    if (isJsonObject(value)) return value;
  } catch (cause) {
    throw new TokenizerError({ file, reason: `not JSON (${(cause as Error).message}); download it again`, cause });
  }
  throw new TokenizerError({ file, reason: 'expected a JSON object' });
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ESCAPED: Record<string, number> = { b: 8, t: 9, n: 10, f: 12, r: 13, '"': 0x22, '\\': 0x5c, '/': 0x2f };

/** Walks over JSON bytes. Throws SyntaxError where they are not what is asked for. */
export class JsonReader {
  /** The last string read, as UTF-8 without escapes; valid until the next one. */
  readonly text: { bytes: Uint8Array; length: number } = { bytes: new Uint8Array(1024), length: 0 };

  constructor(
    private readonly bytes: Uint8Array,
    public at = 0,
    private readonly end = bytes.length,
  ) {
    this.space();
  }

  /** The next character that is no white space. */
  peek(): string {
    return String.fromCharCode(this.bytes[this.at] ?? 0);
  }

  /** Goes through an object; `visit` must read or skip the value. */
  members(visit: (key: string) => void): void {
    this.list('{', '}', () => {
      this.string();
      const key = new TextDecoder().decode(this.text.bytes.subarray(0, this.text.length));
      this.expect(':');
      visit(key);
    });
  }

  /** Goes through an object of whole numbers; the key is in `text`. */
  integers(visit: (value: number) => void): void {
    this.list('{', '}', () => {
      this.string();
      this.expect(':');
      visit(this.number());
    });
  }

  /** Goes through a list; `visit` must read or skip the item. */
  items(visit: () => void): void {
    this.list('[', ']', visit);
  }

  private list(open: string, close: string, visit: () => void): void {
    this.expect(open);
    if (this.peek() !== close) {
      for (;;) {
        visit();
        if (this.peek() !== ',') break;
        this.expect(',');
      }
    }
    this.expect(close);
  }

  expect(char: string): void {
    if (this.at >= this.end || this.bytes[this.at] !== char.charCodeAt(0)) this.fail(`expected '${char}'`);
    this.at++;
    this.space();
  }

  private number(): number {
    const start = this.at;
    let value = 0;
    for (let byte = this.bytes[this.at]!; byte >= 0x30 && byte <= 0x39; byte = this.bytes[++this.at]!) {
      value = 10 * value + byte - 0x30;
    }
    const isWhole = this.at > start && !/[-+.\w]/.test(this.peek());
    if (!isWhole) this.skipWord();
    const number = isWhole ? value : Number(String.fromCharCode(...this.bytes.subarray(start, this.at)));
    this.space();
    return number;
  }

  /** Reads a string into `text`, behind what stands there up to `offset`. */
  string(offset = 0): void {
    if (this.bytes[this.at] !== QUOTE) this.fail('expected a string');
    const { bytes } = this;
    let length = offset;
    let at = this.at + 1;
    for (; at < this.end && bytes[at] !== QUOTE; at++) {
      // An escape becomes at most four bytes.
      if (length + 4 > this.text.bytes.length) this.growText();
      if (bytes[at] !== BACKSLASH) this.text.bytes[length++] = bytes[at]!;
      else {
        const { code, last } = this.escape(at + 1);
        length += new TextEncoder().encodeInto(String.fromCodePoint(code), this.text.bytes.subarray(length)).written;
        at = last;
      }
    }
    if (at >= this.end) this.fail('a string does not end');
    this.text.length = length;
    this.at = at + 1;
    this.space();
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

  /** Passes over a value without looking at it closely. */
  skip(): void {
    const { bytes } = this;
    let depth = 0;
    do {
      const byte = bytes[this.at];
      if (byte === QUOTE) this.skipString();
      else if (byte === 0x7b || byte === 0x5b) {
        depth++;
        this.at++;
      } else if (byte === 0x7d || byte === 0x5d) {
        depth--;
        this.at++;
      } else if (depth === 0) this.skipWord();
      else this.at++;
      if (this.at > this.end || (this.at === this.end && depth > 0)) this.fail('the file ends early');
    } while (depth > 0);
    this.space();
  }

  private skipString(): void {
    const { bytes } = this;
    let at = this.at + 1;
    while (at < this.end && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
    this.at = at + 1;
  }

  /** A number, true, false or null. */
  private skipWord(): void {
    const start = this.at;
    while (this.at < this.end && /[-+.\w]/.test(String.fromCharCode(this.bytes[this.at]!))) this.at++;
    if (this.at === start) this.fail('expected a value');
  }

  private space(): void {
    let byte = this.bytes[this.at];
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = this.bytes[++this.at];
  }

  private growText(): void {
    const larger = new Uint8Array(2 * this.text.bytes.length);
    larger.set(this.text.bytes);
    this.text.bytes = larger;
  }

  private fail(what: string): never {
    throw new SyntaxError(`${what} at byte ${this.at}`);
  }
}
