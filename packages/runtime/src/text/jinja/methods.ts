import {
  braceFormat,
  capitalize,
  needInt,
  needText,
  replace,
  rsplit,
  split,
  splitLines,
  strip,
  title,
} from './strings';
import {
  type Callable,
  codePoints,
  equals,
  getKey,
  iterate,
  type Kwargs,
  TemplateFault,
  Tuple,
  Undefined,
  type Value,
} from './values';

type Method<Self> = (self: Self, args: Value[], kwargs: Kwargs) => Value;

const optional = (args: Value[], kwargs: Kwargs, index: number, name: string): Value | undefined => {
  const value = args[index] ?? kwargs.get(name);
  return value === null || value instanceof Undefined ? undefined : value;
};
const optionalText = (args: Value[], kwargs: Kwargs, index: number, name: string): string | null => {
  const value = optional(args, kwargs, index, name);
  return value === undefined ? null : needText(value, name);
};
const optionalInt = (args: Value[], kwargs: Kwargs, index: number, name: string, fallback: number): number => {
  const value = optional(args, kwargs, index, name);
  return value === undefined ? fallback : needInt(value, name);
};
const text = (args: Value[], index: number, what: string): string => needText(args[index] ?? null, what);

/** `startswith` and `endswith` take one string or a tuple of them. */
const affix = (test: (self: string, part: string) => boolean): Method<string> => {
  return (self, [part]) =>
    (part instanceof Tuple ? [...part] : [part ?? null]).some((p) => test(self, needText(p, 'prefix')));
};
const matches =
  (pattern: RegExp): Method<string> =>
  (self) =>
    pattern.test(self);

/** Code point index of a match found at a UTF-16 index. */
const pointIndex = (self: string, at: number): number => (at < 0 ? -1 : codePoints(self.slice(0, at)).length);
const found = (at: number): number => {
  if (at < 0) throw new TemplateFault('substring not found');
  return at;
};
const justify = (place: (missing: number) => [number, number]): Method<string> => {
  return (self, [width, fill]) => {
    const missing = Math.max(0, needInt(width ?? null, 'width') - codePoints(self).length);
    const [left, right] = place(missing);
    const filler = fill === undefined ? ' ' : needText(fill, 'fill character');
    return filler.repeat(left) + self + filler.repeat(right);
  };
};

const STRING: Record<string, Method<string>> = {
  upper: (self) => self.toUpperCase(),
  lower: (self) => self.toLowerCase(),
  casefold: (self) => self.toLowerCase().replaceAll('ß', 'ss'),
  swapcase: (self) =>
    codePoints(self)
      .map((c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase()))
      .join(''),
  title: (self) => title(self),
  capitalize: (self) => capitalize(self),
  strip: (self, args, kwargs) => strip(self, optionalText(args, kwargs, 0, 'chars')),
  lstrip: (self, args, kwargs) => strip(self, optionalText(args, kwargs, 0, 'chars'), 'left'),
  rstrip: (self, args, kwargs) => strip(self, optionalText(args, kwargs, 0, 'chars'), 'right'),
  split: (self, args, kwargs) =>
    split(self, optionalText(args, kwargs, 0, 'sep'), optionalInt(args, kwargs, 1, 'maxsplit', -1)),
  rsplit: (self, args, kwargs) =>
    rsplit(self, optionalText(args, kwargs, 0, 'sep'), optionalInt(args, kwargs, 1, 'maxsplit', -1)),
  splitlines: (self, args, kwargs) => splitLines(self, optional(args, kwargs, 0, 'keepends') === true),
  partition: (self, args) => {
    const separator = text(args, 0, 'separator');
    const at = self.indexOf(separator);
    if (at < 0) return Tuple.fromItems([self, '', '']);
    return Tuple.fromItems([self.slice(0, at), separator, self.slice(at + separator.length)]);
  },
  rpartition: (self, args) => {
    const separator = text(args, 0, 'separator');
    const at = self.lastIndexOf(separator);
    if (at < 0) return Tuple.fromItems(['', '', self]);
    return Tuple.fromItems([self.slice(0, at), separator, self.slice(at + separator.length)]);
  },
  startswith: affix((self, part) => self.startsWith(part)),
  endswith: affix((self, part) => self.endsWith(part)),
  removeprefix: (self, args) =>
    self.startsWith(text(args, 0, 'prefix')) ? self.slice(text(args, 0, 'prefix').length) : self,
  removesuffix: (self, args) => {
    const suffix = text(args, 0, 'suffix');
    return suffix !== '' && self.endsWith(suffix) ? self.slice(0, -suffix.length) : self;
  },
  replace: (self, args, kwargs) =>
    replace(self, text(args, 0, 'old'), text(args, 1, 'new'), optionalInt(args, kwargs, 2, 'count', -1)),
  join: (self, [items]) =>
    iterate(items ?? null)
      .map((item, i) => needText(item, `sequence item ${i}`))
      .join(self),
  find: (self, args) => pointIndex(self, self.indexOf(text(args, 0, 'substring'))),
  rfind: (self, args) => pointIndex(self, self.lastIndexOf(text(args, 0, 'substring'))),
  index: (self, args) => found(pointIndex(self, self.indexOf(text(args, 0, 'substring')))),
  rindex: (self, args) => found(pointIndex(self, self.lastIndexOf(text(args, 0, 'substring')))),
  count: (self, args) => {
    const part = text(args, 0, 'substring');
    return part === '' ? codePoints(self).length + 1 : self.split(part).length - 1;
  },
  format: (self, args, kwargs) => braceFormat(self, args, kwargs),
  zfill: (self, [width]) => {
    const sign = /^[-+]/.test(self) ? self[0]! : '';
    return sign + self.slice(sign.length).padStart(needInt(width ?? null, 'width') - sign.length, '0');
  },
  ljust: justify((missing) => [0, missing]),
  rjust: justify((missing) => [missing, 0]),
  center: justify((missing) => [Math.floor(missing / 2), Math.ceil(missing / 2)]),
  isdigit: matches(/^[\p{Nd}²³¹⁰-⁹₀-₉]+$/u),
  isdecimal: matches(/^\p{Nd}+$/u),
  isnumeric: matches(/^\p{N}+$/u),
  isalpha: matches(/^\p{L}+$/u),
  isalnum: matches(/^[\p{L}\p{N}]+$/u),
  isspace: (self) => self !== '' && strip(self) === '',
  isupper: (self) => self !== self.toLowerCase() && self === self.toUpperCase(),
  islower: (self) => self !== self.toUpperCase() && self === self.toLowerCase(),
  istitle: (self) => /\p{L}/u.test(self) && self === title(self),
  isascii: (self) => /^\p{ASCII}*$/u.test(self),
  isidentifier: matches(/^[\p{L}_][\p{L}\p{N}_]*$/u),
};

const DICT: Record<string, Method<Map<Value, Value>>> = {
  get: (self, [key, fallback]) => getKey(self, key ?? null) ?? fallback ?? null,
  items: (self) => [...self].map(([key, value]) => Tuple.fromItems([key, value])),
  keys: (self) => [...self.keys()],
  values: (self) => [...self.values()],
  copy: (self) => new Map(self),
};

const LIST: Record<string, Method<Value[]>> = {
  count: (self, [item]) => self.filter((candidate) => equals(candidate, item ?? null)).length,
  index: (self, [item]) => {
    const at = self.findIndex((candidate) => equals(candidate, item ?? null));
    if (at < 0) throw new TemplateFault('value is not in list');
    return at;
  },
  copy: (self) => [...self],
};

// transformers renders in an immutable sandbox, where what changes a list or dict is refused.
const MUTATORS = new Set(
  'append clear extend insert pop popitem remove reverse setdefault sort update add discard'.split(' '),
);

/** The method `name` of a value, bound to it; undefined where Python has none. */
export function methodOf(self: Value, name: string): Callable | undefined {
  const bind = <Self extends Value>(table: Record<string, Method<Self>>, owner: Self): Callable | undefined => {
    const method = Object.hasOwn(table, name) ? table[name] : undefined;
    return method && ((args, kwargs) => method(owner, args, kwargs));
  };
  if (typeof self === 'string') return bind(STRING, self);
  const isDict = self instanceof Map;
  if (!isDict && !Array.isArray(self)) return undefined;
  const method = isDict ? bind(DICT, self) : bind(LIST, self);
  // A dict's field of that name must stay reachable: only a call fails.
  if (method === undefined && MUTATORS.has(name) && !(isDict && self.has(name))) {
    return () => {
      throw new TemplateFault(`${name}() is refused: chat templates may not change lists or dicts`);
    };
  }
  return method;
}
