/**
 * Python's values as a template sees them. `str`, `bool`, `None` and `int` are the JavaScript primitives, `list` an
 * array, `dict` a Map; what JavaScript cannot tell apart has a class of its own.
 */
export type Value =
  | string
  | number
  | boolean
  | null
  | Float
  | Markup
  | Undefined
  | Tuple
  | Namespace
  | Callable
  | Value[]
  | Map<Value, Value>;

export type Kwargs = Map<string, Value>;

/** A Python function: a macro, a method or a global. */
export type Callable = (args: Value[], kwargs: Kwargs) => Value;

/** A Python float: `1.0` prints its point, where the JavaScript number would not. */
export class Float {
  constructor(readonly value: number) {}
}

/** What a missing name or field gives; prints nothing, but has no fields of its own. */
export class Undefined {
  constructor(readonly name: string) {}
}

export class Tuple extends Array<Value> {
  /** Unlike Array's constructor, never reads a lone number as a length. */
  static fromItems(items: Iterable<Value>): Tuple {
    const tuple = new Tuple();
    for (const item of items) tuple.push(item);
    return tuple;
  }
}

/**
 * What `map`, `select` and their like give: it can be looped over, but has no length and is true even when empty.
 * (Python's can be looped over only once, which no template relies on.)
 */
export class Generator extends Array<Value> {
  static fromItems(items: Iterable<Value>): Generator {
    const generator = new Generator();
    for (const item of items) generator.push(item);
    return generator;
  }
}

/** Text from `|safe`: plain text that is added to it is escaped for HTML, even though nothing else is. */
export class Markup {
  constructor(readonly text: string) {}
}

/** The value with Markup seen as the string it is. */
export function plain(value: Value): Value {
  return value instanceof Markup ? value.text : value;
}

/** `namespace(...)`: the one object a template may assign fields of. */
export class Namespace {
  readonly fields = new Map<string, Value>();
}

/** An error in the words Python would use; becomes a ChatTemplateError at the border. */
export class TemplateFault extends Error {
  override name = 'TemplateFault';
}

/** `raise_exception(message)` called by the template. */
export class TemplateRaised extends Error {
  override name = 'TemplateRaised';
}

export function typeName(value: Value): string {
  if (value === null) return 'NoneType';
  if (typeof value === 'string') return 'str';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return 'int';
  if (typeof value === 'function') return 'function';
  if (value instanceof Float) return 'float';
  if (value instanceof Markup) return 'Markup';
  if (value instanceof Generator) return 'generator';
  if (value instanceof Tuple) return 'tuple';
  if (Array.isArray(value)) return 'list';
  if (value instanceof Map) return 'dict';
  if (value instanceof Namespace) return 'Namespace';
  return 'Undefined';
}

/** JSON-like data as template values; functions and other objects are refused by name. */
export function fromJs(input: unknown, path = 'value'): Value {
  if (input === null || typeof input === 'string' || typeof input === 'boolean') return input;
  // From 1e21 on JSON from JavaScript has an exponent, which Python reads as a float.
  if (typeof input === 'number') return Number.isInteger(input) && Math.abs(input) < 1e21 ? input : new Float(input);
  if (typeof input === 'bigint') return Number(input);
  if (input === undefined) return new Undefined(path);
  if (Array.isArray(input)) return input.map((item, i) => fromJs(item, `${path}[${i}]`));
  if (typeof input === 'object') {
    const dict = new Map<Value, Value>();
    // A key whose value is undefined is absent, as in JSON.
    for (const [key, item] of Object.entries(input))
      if (item !== undefined) dict.set(key, fromJs(item, `${path}.${key}`));
    return dict;
  }
  throw new TemplateFault(`${path} is a ${typeof input}, which a chat template cannot use`);
}

/** The number behind an int, float or bool, which Python lets mix; undefined for anything else. */
export function numeric(value: Value): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  return value instanceof Float ? value.value : undefined;
}

/** An int when both operands are, else a float. */
export function numberLike(result: number, ...operands: Value[]): Value {
  return operands.some((operand) => operand instanceof Float) ? new Float(result) : result;
}

export function truthy(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  if (Array.isArray(value)) return value.length > 0 || value instanceof Generator;
  if (value instanceof Markup) return value.text !== '';
  if (value instanceof Map) return value.size > 0;
  if (value instanceof Float) return value.value !== 0;
  return typeof value === 'object' || typeof value === 'function' ? true : Boolean(value);
}

export function equals(left: Value, right: Value): boolean {
  const a = plain(left);
  const b = plain(right);
  if (a === b) return true;
  const x = numeric(a);
  if (x !== undefined) return x === numeric(b);
  if (a instanceof Undefined) return b instanceof Undefined;
  if (Array.isArray(a) && Array.isArray(b)) {
    return (
      a instanceof Tuple === b instanceof Tuple && a.length === b.length && a.every((item, i) => equals(item, b[i]!))
    );
  }
  if (a instanceof Map && b instanceof Map) {
    return a.size === b.size && [...a].every(([key, item]) => hasKey(b, key) && equals(item, getKey(b, key)!));
  }
  return false;
}

/** Python's ordering: numbers, strings by code point, lists and tuples item by item; anything else is a TypeError. */
export function compare(left: Value, right: Value): number {
  const a = plain(left);
  const b = plain(right);
  const x = numeric(a);
  const y = numeric(b);
  if (x !== undefined && y !== undefined) return Math.sign(x - y);
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (Array.isArray(a) && Array.isArray(b)) {
    for (let i = 0; i < a.length && i < b.length; i++) {
      if (!equals(a[i]!, b[i]!)) return compare(a[i]!, b[i]!);
    }
    return Math.sign(a.length - b.length);
  }
  throw new TemplateFault(`'<' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

function compareText(a: string, b: string): number {
  const left = [...a];
  const right = [...b];
  for (let i = 0; i < left.length && i < right.length; i++) {
    const difference = left[i]!.codePointAt(0)! - right[i]!.codePointAt(0)!;
    if (difference !== 0) return Math.sign(difference);
  }
  return Math.sign(left.length - right.length);
}

/** A dict's key as Python hashes it: `1`, `1.0` and `True` are one key. */
function hashKey(key: Value): Value {
  const number = numeric(key);
  if (number !== undefined) return number;
  if (Array.isArray(key) && !(key instanceof Tuple)) throw new TemplateFault("unhashable type: 'list'");
  if (key instanceof Map) throw new TemplateFault("unhashable type: 'dict'");
  return key;
}

function findKey(dict: Map<Value, Value>, wrapped: Value): Value | undefined {
  const key = plain(wrapped);
  if (dict.has(key)) return key;
  const wanted = hashKey(key);
  if (typeof wanted === 'string' || wanted === null) return undefined;
  for (const candidate of dict.keys()) if (equals(candidate, wanted)) return candidate;
  return undefined;
}

function hasKey(dict: Map<Value, Value>, key: Value): boolean {
  return findKey(dict, key) !== undefined;
}

export function getKey(dict: Map<Value, Value>, key: Value): Value | undefined {
  const found = findKey(dict, key);
  return found === undefined ? undefined : dict.get(found);
}

export function setKey(dict: Map<Value, Value>, key: Value, value: Value): void {
  const found = findKey(dict, key);
  dict.set(found === undefined ? plain(key) : found, value);
}

/** The characters of a string as Python counts them: code points. */
export function codePoints(text: string): string[] {
  return [...text];
}

/** The items `for` would visit; a dict gives its keys, a string its characters, an undefined value none. */
export function iterate(value: Value): Value[] {
  if (value instanceof Markup) return codePoints(value.text);
  if (Array.isArray(value)) return value;
  if (typeof value === 'string') return codePoints(value);
  if (value instanceof Map) return [...value.keys()];
  if (value instanceof Undefined) return [];
  throw new TemplateFault(`'${typeName(value)}' object is not iterable`);
}

export function lengthOf(value: Value): number {
  if (value instanceof Map) return value.size;
  if (Array.isArray(value) && !(value instanceof Generator)) return value.length;
  if (typeof value === 'string') return codePoints(value).length;
  if (value instanceof Markup) return codePoints(value.text).length;
  if (value instanceof Undefined) return 0;
  throw new TemplateFault(`object of type '${typeName(value)}' has no len()`);
}

export function contains(wrapped: Value, wrappedItem: Value): boolean {
  const container = plain(wrapped);
  const item = plain(wrappedItem);
  if (typeof container === 'string') {
    if (typeof item === 'string') return container.includes(item);
    throw new TemplateFault(`'in <string>' requires string as left operand, not ${typeName(item)}`);
  }
  if (container instanceof Map) return hasKey(container, item);
  if (Array.isArray(container)) return container.some((candidate) => equals(candidate, item));
  if (container instanceof Undefined) return false;
  throw new TemplateFault(`argument of type '${typeName(container)}' is not iterable`);
}
