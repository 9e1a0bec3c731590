import { floatText, repr, str } from './print';
import { codePoints, Markup, numeric, TemplateFault, Tuple, typeName, type Value } from './values';

// Python's whitespace: JavaScript's, without the BOM, with the separators U+001C to U+001F and NEL.
const SPACE = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const LEADING = new RegExp(`^${SPACE}+`);
const TRAILING = new RegExp(`${SPACE}+$`);
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python counts them as line ends
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/;

type Side = 'left' | 'right' | 'both';

/** `strip`, `lstrip`, `rstrip`; `chars` is a set of characters, not a prefix. */
export function strip(text: string, chars: string | null = null, side: Side = 'both'): string {
  if (chars === null) {
    const left = side === 'right' ? text : text.replace(LEADING, '');
    return side === 'left' ? left : trimEndSpace(left);
  }
  const set = new Set(codePoints(chars));
  const points = codePoints(text);
  let start = 0;
  let end = points.length;
  if (side !== 'right') while (start < end && set.has(points[start]!)) start++;
  if (side !== 'left') while (end > start && set.has(points[end - 1]!)) end--;
  return points.slice(start, end).join('');
}

function trimEndSpace(text: string): string {
  // A regular expression anchored at the end is quadratic on long inner runs of spaces, so walk back instead.
  let end = text.length;
  while (end > 0 && TRAILING.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

export function split(text: string, separator: string | null, max: number): string[] {
  if (separator === '') throw new TemplateFault('empty separator');
  if (separator !== null) {
    const parts = text.split(separator);
    if (max < 0 || parts.length <= max + 1) return parts;
    return [...parts.slice(0, max), parts.slice(max).join(separator)];
  }
  const out: string[] = [];
  let rest = strip(text, null, 'left');
  const word = new RegExp(`${SPACE}+`);
  while (rest !== '') {
    const gap = word.exec(rest);
    if (gap === null) return [...out, rest];
    if (max >= 0 && out.length >= max) return [...out, rest];
    out.push(rest.slice(0, gap.index));
    rest = rest.slice(gap.index + gap[0].length);
  }
  return out;
}

export function rsplit(text: string, separator: string | null, max: number): string[] {
  const parts = split(text, separator, -1);
  if (max < 0 || parts.length <= max + 1) return parts;
  if (separator !== null) {
    return [parts.slice(0, parts.length - max).join(separator), ...parts.slice(parts.length - max)];
  }
  let head = trimEndSpace(text);
  const tail = max === 0 ? [] : parts.slice(-max);
  for (const part of [...tail].reverse()) head = trimEndSpace(head.slice(0, head.length - part.length));
  return [head, ...tail];
}

export function splitLines(text: string, keepEnds: boolean): string[] {
  const out: string[] = [];
  let rest = text;
  while (rest !== '') {
    const end = LINE_END.exec(rest);
    if (end === null) return [...out, rest];
    out.push(rest.slice(0, end.index + (keepEnds ? end[0].length : 0)));
    rest = rest.slice(end.index + end[0].length);
  }
  return out;
}

export function replace(text: string, from: string, to: string, count: number): string {
  if (count < 0) return from === '' ? [...['', ...codePoints(text)]].join(to) + to : text.split(from).join(to);
  const parts = from === '' ? ['', ...codePoints(text), ''] : text.split(from);
  const pieces = Math.min(count, parts.length - 1);
  return (
    parts.slice(0, pieces + 1).join(to) + (pieces + 1 < parts.length ? from : '') + parts.slice(pieces + 1).join(from)
  );
}

/** `str.title`: a letter after a letter is lower case, any other letter is upper case. */
export function title(text: string): string {
  let inWord = false;
  let out = '';
  for (const char of text) {
    const letter = /\p{L}/u.test(char);
    out += letter ? (inWord ? char.toLowerCase() : char.toUpperCase()) : char;
    inWord = letter;
  }
  return out;
}

/** Jinja's own `title` filter, which knows words by space, hyphen and brackets: `don't` stays one word. */
export function titleFilter(text: string): string {
  return text
    .split(/([-\s({[<]+)/)
    .map((word) => capitalize(word))
    .join('');
}

export function capitalize(text: string): string {
  const [first = '', ...rest] = codePoints(text);
  return first.toUpperCase() + rest.join('').toLowerCase();
}

/** The value as text where Python demands text. */
export function needText(value: Value, what: string): string {
  if (value instanceof Markup) return value.text;
  if (typeof value !== 'string') throw new TemplateFault(`${what} must be str, not ${typeName(value)}`);
  return value;
}

/** The value as an int where Python demands one. */
export function needInt(value: Value, what: string): number {
  const number = typeof value === 'boolean' ? Number(value) : value;
  if (typeof number !== 'number') throw new TemplateFault(`${what} must be int, not ${typeName(value)}`);
  return number;
}

const DIRECTIVE = /%(?:\((\w+)\))?([-+ 0#]*)(\d+)?(?:\.(\d+))?([sdifrxXeEgGc%])/g;

/** `text % value`: printf as Python has it. */
export function percentFormat(text: string, value: Value): string {
  const args = value instanceof Tuple ? [...value] : [value];
  let next = 0;
  const out = text.replace(DIRECTIVE, (_, key, flags: string, width, precision, kind: string) => {
    if (kind === '%') return '%';
    if (key === undefined && next >= args.length) throw new TemplateFault('not enough arguments for format string');
    const arg = key === undefined ? args[next++]! : (value as Map<Value, Value>).get(key)!;
    const digits = precision === undefined ? undefined : Number(precision);
    return pad(printf(kind, arg, digits), flags, width === undefined ? 0 : Number(width));
  });
  if (next < args.length && !(value instanceof Map)) {
    throw new TemplateFault('not all arguments converted during string formatting');
  }
  return out;
}

function printf(kind: string, arg: Value, precision: number | undefined): string {
  if (kind === 's' || kind === 'r') {
    const text = kind === 's' ? str(arg) : repr(arg);
    return precision === undefined ? text : codePoints(text).slice(0, precision).join('');
  }
  const number = numeric(arg);
  if (number === undefined) throw new TemplateFault(`%${kind} format: a number is required, not ${typeName(arg)}`);
  if (kind === 'd' || kind === 'i') return String(Math.trunc(number));
  if (kind === 'x' || kind === 'X') {
    const hex = Math.trunc(number).toString(16);
    return kind === 'X' ? hex.toUpperCase() : hex;
  }
  if (kind === 'f') return number.toFixed(precision ?? 6);
  if (kind === 'c') return String.fromCodePoint(number);
  const text =
    kind === 'e' || kind === 'E'
      ? number.toExponential(precision ?? 6).replace(/e([+-])(\d)$/, 'e$10$2')
      : floatText(Number(number.toPrecision(precision || 6))).replace(/\.0$/, '');
  return kind === kind.toUpperCase() ? text.toUpperCase() : text;
}

function pad(text: string, flags: string, width: number): string {
  const signed = flags.includes('+') && /^\d/.test(text) ? `+${text}` : text;
  if (flags.includes('-')) return signed.padEnd(width);
  if (!flags.includes('0')) return signed.padStart(width);
  const sign = /^[-+]/.test(signed) ? signed[0]! : '';
  return sign + signed.slice(sign.length).padStart(width - sign.length, '0');
}

const FIELD = /\{\{|\}\}|\{([^{}:!]*)(?:!([rs]))?(?::([^{}]*))?\}/g;
const SPEC = /^(?:(.)?([<>^=]))?([-+ ]?)(0?)(\d+)?(,?)(?:\.(\d+))?([sdfgexX%]?)$/u;

/** `text.format(...)` for positional, numbered and named fields with the usual format specs. */
export function braceFormat(text: string, args: Value[], kwargs: ReadonlyMap<string, Value>): string {
  let next = 0;
  return text.replace(FIELD, (match, name: string | undefined, conversion?: string, spec = '') => {
    if (match === '{{' || match === '}}') return match[0]!;
    const value =
      name === '' || name === undefined ? args[next++] : /^\d+$/.test(name) ? args[Number(name)] : kwargs.get(name);
    if (value === undefined) throw new TemplateFault(`format: no argument for '${match}'`);
    return formatSpec(conversion === 'r' ? repr(value) : value, spec);
  });
}

function formatSpec(value: Value, spec: string): string {
  const parsed = SPEC.exec(spec);
  if (parsed === null) throw new TemplateFault(`Invalid format specifier '${spec}'`);
  const [, fill, align, sign, zero, width, comma, precision, kind] = parsed;
  const number = numeric(value);
  const digits = precision === undefined ? undefined : Number(precision);
  let text: string;
  if (kind === '%') text = `${((number ?? 0) * 100).toFixed(digits ?? 6)}%`;
  else if (kind || (digits !== undefined && number !== undefined)) text = printf(kind || 'g', value, digits);
  else text = digits === undefined ? str(value) : codePoints(str(value)).slice(0, digits).join('');
  if (comma) text = text.replace(/^(-?\d+)/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ','));
  if (sign === '+' && number !== undefined && number >= 0) text = `+${text}`;
  const missing = Math.max(0, Number(width ?? 0) - codePoints(text).length);
  const filler = (fill ?? (zero ? '0' : ' ')).repeat(missing);
  const side = align ?? (number === undefined ? '<' : '>');
  if (side === '<') return text + filler;
  if (side === '^') {
    const left = Math.floor(missing / 2);
    return filler.slice(0, left) + text + filler.slice(left);
  }
  return zero && /^[-+]/.test(text) ? text[0] + filler + text.slice(1) : filler + text;
}

/** A value as Python's `float()` reads it, or undefined where it would refuse. */
export function toNumber(value: Value): number | undefined {
  const number = numeric(value);
  if (number !== undefined || typeof value !== 'string') return number;
  const text = strip(value).replace(/(?<=\d)_(?=\d)/g, '');
  if (/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text)) return Number(text);
  if (/^[-+]?inf(inity)?$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  return /^[-+]?nan$/i.test(text) ? Number.NaN : undefined;
}
