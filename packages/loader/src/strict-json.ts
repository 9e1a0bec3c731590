/** JSON as untrusted files must be read: objects become Maps, and what `JSON.parse` lets pass is an error. */
export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject;
/** A Map: a key such as `__proto__` reaches no object's prototype. */
export type JsonObject = Map<string, JsonValue>;

export interface JsonOptions {
  /** Containers within containers before the file is refused. */
  readonly maxDepth: number;
  /** Refuse numbers written with a fraction or an exponent, even `1.0`. */
  readonly integersOnly?: boolean;
}

/** Where and why a text is not acceptable JSON. */
export class JsonError extends Error {
  constructor(
    readonly reason: string,
    /** Characters from the start. */
    readonly position: number,
    /** Keys of the objects that were open, outermost first. */
    readonly path: readonly string[],
  ) {
    super(`${reason} at character ${position}`);
  }
}

/**
 * Parses one JSON text. Refuses duplicate keys, unpaired surrogates, too deep nesting and anything after the value.
 * Integers beyond 2^53 become bigints. Linear in time; recursion is bounded by `maxDepth`.
 */
export function parseJson(text: string, options: JsonOptions): JsonValue {
  return new Parser(text, options).document();
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const CLOSE_BRACKET = 0x5d;
const CLOSE_BRACE = 0x7d;
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

class Parser {
  readonly #path: string[] = [];
  #at = 0;
  #depth = 0;

  constructor(
    readonly text: string,
    readonly options: JsonOptions,
  ) {}

  document(): JsonValue {
    this.#space();
    const value = this.#value();
    this.#space();
    if (this.#at < this.text.length) this.#fail('something follows the JSON value');
    return value;
  }

  #value(): JsonValue {
    switch (this.text[this.#at]) {
      case '{':
        return this.#nested(() => this.#object());
      case '[':
        return this.#nested(() => this.#array());
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      default:
        return this.#number();
    }
  }

  #nested<T>(parse: () => T): T {
    if (++this.#depth > this.options.maxDepth) this.#fail(`JSON nested deeper than ${this.options.maxDepth}`);
    this.#at++;
    this.#space();
    const value = parse();
    this.#depth--;
    return value;
  }

  #object(): JsonObject {
    const object: JsonObject = new Map();
    if (this.#take(CLOSE_BRACE)) return object;
    for (;;) {
      if (this.text.charCodeAt(this.#at) !== QUOTE) this.#fail('expected a key in double quotes');
      const start = this.#at;
      const key = this.#string();
      this.#path.push(key);
      if (object.has(key)) {
        this.#at = start;
        this.#fail('the key occurs twice');
      }
      this.#space();
      if (!this.#take(COLON)) this.#fail('expected ":"');
      this.#space();
      object.set(key, this.#value());
      this.#path.pop();
      this.#space();
      if (this.#take(CLOSE_BRACE)) return object;
      if (!this.#take(COMMA)) this.#fail('expected "," or "}"');
      this.#space();
    }
  }

  #array(): JsonValue[] {
    const array: JsonValue[] = [];
    if (this.#take(CLOSE_BRACKET)) return array;
    for (;;) {
      array.push(this.#value());
      this.#space();
      if (this.#take(CLOSE_BRACKET)) return array;
      if (!this.#take(COMMA)) this.#fail('expected "," or "]"');
      this.#space();
    }
  }

  #string(): string {
    const { text } = this;
    let value = '';
    let start = ++this.#at;
    let escaped = false;
    for (; ; this.#at++) {
      const code = text.charCodeAt(this.#at);
      if (code === QUOTE) break;
      if (Number.isNaN(code)) this.#fail('the text ends inside a string');
      if (code < 0x20) this.#fail('a control character in a string');
      if (code !== BACKSLASH) continue;
      value += text.slice(start, this.#at) + this.#escape();
      start = this.#at + 1;
      escaped = true;
    }
    value += text.slice(start, this.#at++);
    // Only \u escapes can make these: the text itself was decoded from valid UTF-8.
    if (escaped && /\p{Surrogate}/u.test(value)) this.#fail('an unpaired surrogate in a string');
    return value;
  }

  /** Leaves the position on the escape's last character. */
  #escape(): string {
    const letter = this.text[++this.#at] ?? '';
    if (letter !== 'u') return ESCAPES[letter] ?? this.#fail('an unknown escape in a string');
    const hex = this.text.slice(this.#at + 1, this.#at + 5);
    if (!/^[0-9a-fA-F]{4}$/.test(hex)) this.#fail('a broken \\u escape in a string');
    this.#at += 4;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }

  #number(): number | bigint {
    return this.#smallInteger() ?? this.#anyNumber();
  }

  /** Nearly every number of a header: plain digits, few enough to be exact. Six times as fast as the pattern. */
  #smallInteger(): number | undefined {
    let value = 0;
    let at = this.#at;
    for (; at < this.#at + 15; at++) {
      const digit = this.text.charCodeAt(at) - 0x30;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
    }
    const length = at - this.#at;
    const next = this.text[at];
    const leadingZero = length > 1 && this.text.charCodeAt(this.#at) === 0x30;
    const ends = next === ',' || next === ']' || next === '}';
    if (length === 0 || leadingZero || !ends) return undefined;
    this.#at = at;
    return value;
  }

  #anyNumber(): number | bigint {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.text);
    if (match === null) this.#fail(this.#at < this.text.length ? 'expected a value' : 'the text ends too early');
    const [digits, fraction, exponent] = match;
    if (fraction !== undefined || exponent !== undefined || digits === '-0') {
      if (this.options.integersOnly) this.#fail(`${digits.slice(0, 40)} is not written as a whole number`);
      this.#at += digits.length;
      return Number(digits);
    }
    this.#at += digits.length;
    const number = Number(digits);
    // BigInt() takes quadratic time: no honest number needs more digits than 128 bits do.
    if (!Number.isSafeInteger(number) && digits.length > 40) this.#fail(`a number of ${digits.length} digits`);
    return Number.isSafeInteger(number) ? number : BigInt(digits);
  }

  #word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.#at)) this.#fail('expected a value');
    this.#at += word.length;
    return value;
  }

  #take(code: number): boolean {
    if (this.text.charCodeAt(this.#at) !== code) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #fail(reason: string): never {
    throw new JsonError(reason, this.#at, [...this.#path]);
  }
}
