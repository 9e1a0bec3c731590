import { Float, Generator, Markup, Namespace, TemplateFault, Tuple, typeName, Undefined, type Value } from './values';

/** `repr(float)`: the shortest digits, with a point, and an exponent below 1e-4 and from 1e16. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-4 || magnitude >= 1e16)) {
    const [digits, exponent] = value.toExponential().split('e') as [string, string];
    return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`;
  }
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

function intText(value: number): string {
  return Number.isSafeInteger(value) ? String(value) : BigInt(value).toString();
}

/** `str(value)`, which is also what `{{ value }}` prints. */
export function str(value: Value): string {
  if (typeof value === 'string') return value;
  if (value instanceof Markup) return value.text;
  if (value instanceof Undefined) return '';
  return repr(value);
}

/** `repr(value)`: what a value looks like inside a printed list or dict. */
export function repr(value: Value): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return intText(value);
  if (typeof value === 'string') return quoted(value);
  if (value instanceof Float) return floatText(value.value);
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Markup) return `Markup(${quoted(value.text)})`;
  if (value instanceof Generator) return '<generator object>';
  if (value instanceof Tuple) return value.length === 1 ? `(${repr(value[0]!)},)` : `(${value.map(repr).join(', ')})`;
  if (Array.isArray(value)) return `[${value.map(repr).join(', ')}]`;
  if (value instanceof Map) return `{${[...value].map(([key, item]) => `${repr(key)}: ${repr(item)}`).join(', ')}}`;
  if (value instanceof Namespace) return `<Namespace ${repr(new Map<Value, Value>(value.fields))}>`;
  return '<function>';
}

const ESCAPES: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = quote;
  for (const char of text) {
    const code = char.codePointAt(0)!;
    if (char === quote) out += `\\${char}`;
    else if (ESCAPES[char] !== undefined) out += ESCAPES[char];
    else if (printable(char)) out += char;
    else if (code <= 0xff) out += `\\x${code.toString(16).padStart(2, '0')}`;
    else if (code <= 0xffff) out += `\\u${code.toString(16).padStart(4, '0')}`;
    else out += `\\U${code.toString(16).padStart(8, '0')}`;
  }
  return out + quote;
}

/** `str.isprintable`: not a control, format, surrogate, private or unassigned character, nor a separator but space. */
function printable(char: string): boolean {
  return char === ' ' || !/[\p{C}\p{Z}]/u.test(char);
}

export interface JsonOptions {
  indent?: number | string | null;
  separators?: [item: string, key: string] | null;
  ensureAscii?: boolean;
  sortKeys?: boolean;
}

/** `json.dumps` of Python, with its spacing. */
export function toJson(value: Value, options: JsonOptions = {}, depth = 0): string {
  const { indent = null, separators = null, ensureAscii = false, sortKeys = false } = options;
  const unit = typeof indent === 'number' ? ' '.repeat(Math.max(0, indent)) : indent;
  const [itemSeparator, keySeparator] = separators ?? [unit === null ? ', ' : ',', ': '];
  const wrap = (open: string, items: string[], close: string) => {
    if (items.length === 0) return open + close;
    if (unit === null) return open + items.join(itemSeparator) + close;
    const line = `\n${unit.repeat(depth + 1)}`;
    return `${open}${line}${items.join(itemSeparator + line)}\n${unit.repeat(depth)}${close}`;
  };
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return intText(value);
  if (typeof value === 'string') return jsonString(value, ensureAscii);
  if (value instanceof Markup) return jsonString(value.text, ensureAscii);
  if (value instanceof Float) return jsonFloat(value.value);
  const inner = (item: Value) => toJson(item, options, depth + 1);
  if (Array.isArray(value) && !(value instanceof Generator)) return wrap('[', [...value].map(inner), ']');
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]) => [jsonKey(key), item] as const);
    if (sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    const items = entries.map(([key, item]) => jsonString(key, ensureAscii) + keySeparator + inner(item));
    return wrap('{', items, '}');
  }
  throw new TemplateFault(`Object of type ${typeName(value)} is not JSON serializable`);
}

function jsonKey(key: Value): string {
  if (typeof key === 'string') return key;
  if (key instanceof Markup) return key.text;
  if (key === null || typeof key === 'boolean') return String(key);
  if (typeof key === 'number') return intText(key);
  if (key instanceof Float) return jsonFloat(key.value);
  throw new TemplateFault(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function jsonFloat(value: number): string {
  return Number.isNaN(value) ? 'NaN' : floatText(value).replace('inf', 'Infinity');
}

function jsonString(text: string, ensureAscii: boolean): string {
  // JSON.stringify escapes lone surrogates and the controls alike to Python; only DEL and up differ, by ensure_ascii.
  const json = JSON.stringify(text);
  if (!ensureAscii) return json;
  return json.replace(/[\x7f-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
