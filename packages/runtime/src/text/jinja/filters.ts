import { escapeHtml, escapeMarkup } from './markup';
import { repr, str, toJson } from './print';
import { capitalize, needInt, needText, percentFormat, replace, strip, titleFilter, toNumber } from './strings';
import { runTest } from './tests';
import {
  compare,
  equals,
  Float,
  Generator,
  getKey,
  iterate,
  type Kwargs,
  lengthOf,
  Markup,
  Namespace,
  numberLike,
  numeric,
  plain,
  setKey,
  TemplateFault,
  Tuple,
  truthy,
  typeName,
  Undefined,
  type Value,
} from './values';

type Filter = (value: Value, args: Value[], kwargs: Kwargs) => Value;

/** An argument by place or by name. */
const arg = (args: Value[], kwargs: Kwargs, index: number, name: string): Value | undefined =>
  index < args.length ? args[index] : kwargs.get(name);
const flag = (args: Value[], kwargs: Kwargs, index: number, name: string, fallback = false): boolean => {
  const value = arg(args, kwargs, index, name);
  return value === undefined ? fallback : truthy(value);
};

const isDict = (value: Value): value is Map<Value, Value> => value instanceof Map;

/** `attribute='a.b.0'`: fields and items by a dotted path, Undefined where it ends. */
function attributeOf(value: Value, path: Value): Value {
  let current = value;
  const parts = typeof path === 'string' ? path.split('.') : [path];
  for (const part of parts) {
    const index = typeof part === 'string' && /^\d+$/.test(part) ? Number(part) : part;
    if (current instanceof Undefined) throw new TemplateFault(`'${current.name}' is undefined`);
    let found: Value | undefined;
    if (isDict(current)) found = getKey(current, index);
    else if (current instanceof Namespace) found = current.fields.get(str(part));
    else if (Array.isArray(current) && typeof index === 'number') found = current.at(index);
    current = found === undefined ? new Undefined(str(part)) : found;
  }
  return current;
}

const ignoreCase = (value: Value): Value => (typeof value === 'string' ? value.toLowerCase() : value);

/** What `sort`, `min`, `max`, `unique` and `groupby` compare: an attribute, lower-cased unless told otherwise. */
function sortKey(args: Value[], kwargs: Kwargs, caseIndex: number, attributeIndex: number): (item: Value) => Value {
  const caseSensitive = flag(args, kwargs, caseIndex, 'case_sensitive');
  const attribute = arg(args, kwargs, attributeIndex, 'attribute') ?? null;
  return (item) => {
    const value = attribute === null ? item : attributeOf(item, attribute);
    return caseSensitive ? value : ignoreCase(value);
  };
}

/** The items of what may be None, as a generator: Jinja asks `if seq` first in map and select. */
const lazily = (value: Value): Generator => Generator.fromItems(truthy(value) ? iterate(value) : []);

function sorted(items: Value[], key: (item: Value) => Value, reverse: boolean): Value[] {
  // Python keeps equal items in their order when reversed too.
  return [...items].sort((a, b) => compare(key(a), key(b)) * (reverse ? -1 : 1));
}

function extreme(sign: number): Filter {
  return (value, args, kwargs) => {
    const key = sortKey(args, kwargs, 0, 1);
    const items = iterate(value);
    if (items.length === 0) return new Undefined('No aggregated item, sequence was empty.');
    return items.reduce((best, item) => (compare(key(item), key(best)) * sign > 0 ? item : best));
  };
}

/** `select`, `reject` (of the item) and `selectattr`, `rejectattr` (of its attribute). */
function selecting(wanted: boolean, byAttribute: boolean): Filter {
  return (value, args) => {
    const rest = byAttribute ? args.slice(1) : args;
    return lazily(value).filter((item) => {
      const subject = byAttribute ? attributeOf(item, args[0] ?? null) : item;
      const [name, ...testArgs] = rest;
      const passed = name === undefined ? truthy(subject) : runTest(needText(name, 'test name'), subject, testArgs);
      return passed === wanted;
    });
  };
}

const length: Filter = (value) => lengthOf(value);
const fallback: Filter = (value, args, kwargs) => {
  const replaceFalse = flag(args, kwargs, 1, 'boolean');
  if (!(value instanceof Undefined) && !(replaceFalse && !truthy(value))) return value;
  const replacement = arg(args, kwargs, 0, 'default_value');
  return replacement === undefined ? '' : replacement;
};

// Not `??`: None is an item like any other.
const firstOf = (items: Value[]): Value =>
  items.length > 0 ? items[0]! : new Undefined('No first item, sequence was empty.');

function indent(text: string, args: Value[], kwargs: Kwargs): string {
  const width = arg(args, kwargs, 0, 'width') ?? 4;
  const unit = typeof width === 'string' ? width : ' '.repeat(needInt(width, 'width'));
  const blank = flag(args, kwargs, 2, 'blank');
  const lines = text.split('\n').map((line, i) => (i > 0 && (blank || line !== '') ? unit + line : line));
  return (flag(args, kwargs, 1, 'first') ? unit : '') + lines.join('\n');
}

function join(value: Value, args: Value[], kwargs: Kwargs): string {
  const attribute = arg(args, kwargs, 1, 'attribute') ?? null;
  const items = iterate(value).map((item) => str(attribute === null ? item : attributeOf(item, attribute)));
  return items.join(str(arg(args, kwargs, 0, 'd') ?? ''));
}

function map(value: Value, args: Value[], kwargs: Kwargs): Value {
  const items = lazily(value);
  const attribute = kwargs.get('attribute');
  if (attribute !== undefined) {
    const missing = kwargs.get('default');
    return items.map((item) => {
      const found = attributeOf(item, attribute);
      return found instanceof Undefined && missing !== undefined ? missing : found;
    });
  }
  const [name, ...rest] = args;
  if (name === undefined) throw new TemplateFault('map requires a filter argument');
  return items.map((item) => runFilter(needText(name, 'filter name'), item, rest, kwargs));
}

/** Python's round half to even on the decimal text of the number. */
function round(value: Value, args: Value[], kwargs: Kwargs): Value {
  const number = numeric(value);
  if (number === undefined) throw new TemplateFault(`type ${typeName(value)} doesn't define round`);
  const precision = needInt(arg(args, kwargs, 0, 'precision') ?? 0, 'precision');
  const method = str(arg(args, kwargs, 1, 'method') ?? 'common');
  const scale = 10 ** precision;
  if (method === 'ceil') return new Float(Math.ceil(number * scale) / scale);
  if (method === 'floor') return new Float(Math.floor(number * scale) / scale);
  const scaled = number * scale;
  const down = Math.floor(scaled);
  const half = scaled - down === 0.5 && precision <= 0;
  const rounded = half ? (down % 2 === 0 ? down : down + 1) / scale : Number(number.toFixed(Math.max(0, precision)));
  return typeof value === 'number'
    ? numberLike(rounded, value)
    : new Float(precision < 0 ? Math.round(scaled) / scale : rounded);
}

function truncate(text: string, args: Value[], kwargs: Kwargs): string {
  const limit = needInt(arg(args, kwargs, 0, 'length') ?? 255, 'length');
  const end = str(arg(args, kwargs, 2, 'end') ?? '...');
  const leeway = needInt(arg(args, kwargs, 3, 'leeway') ?? 5, 'leeway');
  const points = [...text];
  if (points.length <= limit + leeway) return text;
  const cut = points.slice(0, limit - [...end].length).join('');
  if (flag(args, kwargs, 1, 'killwords')) return cut + end;
  const space = cut.lastIndexOf(' ');
  return (space < 0 ? cut : cut.slice(0, space)) + end;
}

function unique(value: Value, args: Value[], kwargs: Kwargs): Value {
  const key = sortKey(args, kwargs, 0, 1);
  const seen: Value[] = [];
  return Generator.fromItems(iterate(value)).filter((item) => {
    const own = key(item);
    if (seen.some((other) => equals(other, own))) return false;
    seen.push(own);
    return true;
  });
}

function groupBy(value: Value, args: Value[], kwargs: Kwargs): Value {
  const attribute = arg(args, kwargs, 0, 'attribute') ?? null;
  const key = (item: Value) => ignoreCase(attributeOf(item, attribute));
  const groups: Tuple[] = [];
  for (const item of sorted(iterate(value), key, false)) {
    const last = groups.at(-1);
    if (last && equals(ignoreCase(last[0]!), key(item))) (last[1] as Value[]).push(item);
    else groups.push(Tuple.fromItems([attributeOf(item, attribute), [item]]));
  }
  return groups;
}

function batch(value: Value, args: Value[], kwargs: Kwargs): Value {
  const size = needInt(arg(args, kwargs, 0, 'linecount') ?? null, 'linecount');
  const filler = arg(args, kwargs, 1, 'fill_with') ?? null;
  const items = iterate(value);
  const rows: Value[][] = [];
  for (let i = 0; i < items.length; i += size) rows.push(items.slice(i, i + size));
  const last = rows.at(-1);
  while (filler !== null && last && last.length < size) last.push(filler);
  return Generator.fromItems(rows);
}

function tojson(value: Value, args: Value[], kwargs: Kwargs): string {
  // transformers defines tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False).
  const spacing = arg(args, kwargs, 1, 'indent') ?? null;
  const separators = arg(args, kwargs, 2, 'separators') ?? null;
  if (separators !== null && !(Array.isArray(separators) && separators.length === 2)) {
    throw new TemplateFault('separators must be a pair of strings');
  }
  return toJson(value, {
    ensureAscii: flag(args, kwargs, 0, 'ensure_ascii'),
    indent: typeof spacing === 'string' || spacing === null ? spacing : needInt(spacing, 'indent'),
    separators: separators === null ? null : [str(separators[0]!), str(separators[1]!)],
    sortKeys: flag(args, kwargs, 3, 'sort_keys'),
  });
}

function dictSort(value: Value, args: Value[], kwargs: Kwargs): Value {
  if (!isDict(value)) throw new TemplateFault(`dictsort needs a dict, not ${typeName(value)}`);
  const by = str(arg(args, kwargs, 1, 'by') ?? 'key') === 'value' ? 1 : 0;
  const caseSensitive = flag(args, kwargs, 0, 'case_sensitive');
  const pairs = [...value].map((pair) => Tuple.fromItems(pair));
  const key = (pair: Value) => (caseSensitive ? (pair as Tuple)[by]! : ignoreCase((pair as Tuple)[by]!));
  return sorted(pairs, key, flag(args, kwargs, 2, 'reverse'));
}

/** Jinja's builtin filters, by name, with `tojson` as transformers defines it. */
const FILTERS: Record<string, Filter> = {
  abs: (value) => numberLike(Math.abs(numeric(value) ?? Number.NaN), value),
  attr: (value, [name]) => attributeOf(value, name ?? null),
  batch,
  capitalize: (value) => capitalize(str(value)),
  center: (value, [width]) => {
    const missing = Math.max(0, needInt(width ?? 80, 'width') - lengthOf(str(value)));
    return ' '.repeat(Math.floor(missing / 2)) + str(value) + ' '.repeat(Math.ceil(missing / 2));
  },
  count: length,
  d: fallback,
  default: fallback,
  dictsort: dictSort,
  e: escapeMarkup,
  escape: escapeMarkup,
  first: (value) => firstOf(iterate(value)),
  float: (value, args, kwargs) => {
    const number = toNumber(value);
    return number === undefined ? (arg(args, kwargs, 0, 'default') ?? new Float(0)) : new Float(number);
  },
  forceescape: (value) => new Markup(escapeHtml(str(value))),
  format: (value, args) => percentFormat(str(value), Tuple.fromItems(args)),
  groupby: groupBy,
  indent: (value, args, kwargs) => indent(str(value), args, kwargs),
  int: (value, args, kwargs) => {
    const number = toNumber(value);
    return number === undefined || !Number.isFinite(number)
      ? (arg(args, kwargs, 0, 'default') ?? 0)
      : Math.trunc(number);
  },
  items: (value) => {
    if (value instanceof Undefined) return new Generator();
    if (!isDict(value)) throw new TemplateFault('Can only get item pairs from a mapping.');
    return Generator.fromItems([...value].map((pair) => Tuple.fromItems(pair)));
  },
  join,
  last: (value) => firstOf([...iterate(value)].reverse()),
  length,
  list: (value) => [...iterate(value)],
  lower: (value) => str(value).toLowerCase(),
  map,
  max: extreme(1),
  min: extreme(-1),
  pprint: (value) => repr(value),
  reject: selecting(false, false),
  rejectattr: selecting(false, true),
  replace: (value, args, kwargs) => {
    const count = arg(args, kwargs, 2, 'count') ?? null;
    const [from, to] = [arg(args, kwargs, 0, 'old') ?? '', arg(args, kwargs, 1, 'new') ?? ''];
    return replace(str(value), str(from), str(to), count === null ? -1 : needInt(count, 'count'));
  },
  reverse: (value) => {
    const reversed = [...iterate(value)].reverse();
    return typeof value === 'string' ? reversed.join('') : Generator.fromItems(reversed);
  },
  round,
  safe: (value) => (value instanceof Markup ? value : new Markup(str(value))),
  select: selecting(true, false),
  selectattr: selecting(true, true),
  sort: (value, args, kwargs) => sorted(iterate(value), sortKey(args, kwargs, 1, 2), flag(args, kwargs, 0, 'reverse')),
  string: (value) => str(value),
  striptags: (value) =>
    str(value)
      .replace(/<!--.*?-->|<[^>]*>/gs, '')
      .split(/\s+/)
      .filter(Boolean)
      .join(' '),
  sum: (value, args, kwargs) => {
    const attribute = arg(args, kwargs, 0, 'attribute') ?? null;
    const items = iterate(value).map((item) => (attribute === null ? item : attributeOf(item, attribute)));
    return items.reduce(
      (total: Value, item) => {
        const [a, b] = [numeric(total), numeric(item)];
        if (a === undefined || b === undefined) throw new TemplateFault(`cannot add ${typeName(item)} in sum`);
        return numberLike(a + b, total, item);
      },
      arg(args, kwargs, 1, 'start') ?? 0,
    );
  },
  title: (value) => titleFilter(str(value)),
  tojson,
  trim: (value, args, kwargs) => {
    const chars = arg(args, kwargs, 0, 'chars') ?? null;
    return strip(str(value), chars === null ? null : str(chars));
  },
  truncate: (value, args, kwargs) => truncate(str(value), args, kwargs),
  unique,
  upper: (value) => str(value).toUpperCase(),
  urlencode: (value) =>
    encodeURIComponent(str(value))
      .replace(/%2F/g, '/')
      .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`),
  wordcount: (value) => str(value).match(/\w+/g)?.length ?? 0,
};

/** A dict from pairs and keywords, as the global `dict(...)` makes it. */
export function makeDict(args: Value[], kwargs: Kwargs): Map<Value, Value> {
  const dict = new Map<Value, Value>();
  const [source] = args;
  if (isDict(source ?? null)) for (const [key, value] of source as Map<Value, Value>) dict.set(key, value);
  else if (source !== undefined) {
    for (const pair of iterate(source)) {
      const [key, value] = iterate(pair);
      setKey(dict, key ?? null, value ?? null);
    }
  }
  for (const [key, value] of kwargs) dict.set(key, value);
  return dict;
}

/** Runs a filter by name. */
export function runFilter(name: string, value: Value, args: Value[], kwargs: Kwargs): Value {
  const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
  if (filter === undefined) throw new TemplateFault(`No filter named '${name}'`);
  if (!(value instanceof Markup) || KNOWS_MARKUP.has(name)) return filter(value, args, kwargs);
  const result = filter(plain(value), args, kwargs);
  return typeof result === 'string' && KEEPS_MARKUP.has(name) ? new Markup(result) : result;
}

// What these give for Markup is Markup in Jinja too; the others build a plain string.
const KEEPS_MARKUP = new Set(['trim', 'upper', 'lower', 'capitalize', 'string', 'indent', 'center']);
const KNOWS_MARKUP = new Set(['safe', 'escape', 'e', 'default', 'd', 'list']);
