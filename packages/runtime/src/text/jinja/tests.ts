import {
  compare,
  contains,
  equals,
  Float,
  Markup,
  numeric,
  plain,
  TemplateFault,
  typeName,
  Undefined,
  type Value,
} from './values';

type Test = (value: Value, ...args: Value[]) => boolean;

const int = (value: Value): number => {
  const number = numeric(value);
  if (number === undefined) throw new TemplateFault(`a number is required, not ${typeName(value)}`);
  return number;
};
const equal: Test = (a, b) => equals(a, b ?? null);

/** Jinja's builtin tests, by the name that follows `is`. */
const TESTS: Record<string, Test> = {
  boolean: (value) => typeof value === 'boolean',
  callable: (value) => typeof value === 'function',
  defined: (value) => !(value instanceof Undefined),
  undefined: (value) => value instanceof Undefined,
  none: (value) => value === null,
  true: (value) => value === true,
  false: (value) => value === false,
  string: (value) => typeof value === 'string',
  number: (value) => numeric(value) !== undefined,
  integer: (value) => typeof value === 'number',
  float: (value) => value instanceof Float,
  mapping: (value) => value instanceof Map,
  iterable: (value) =>
    typeof value === 'string' || Array.isArray(value) || value instanceof Map || value instanceof Undefined,
  sequence: (value) =>
    typeof value === 'string' || Array.isArray(value) || value instanceof Map || value instanceof Undefined,
  odd: (value) => Math.abs(int(value) % 2) === 1,
  even: (value) => int(value) % 2 === 0,
  divisibleby: (value, by) => int(value) % int(by ?? null) === 0,
  lower: (value) => typeof value === 'string' && value !== value.toUpperCase() && value === value.toLowerCase(),
  upper: (value) => typeof value === 'string' && value !== value.toLowerCase() && value === value.toUpperCase(),
  in: (value, container) => contains(container ?? null, value),
  sameas: (a, b) => a === b || (a instanceof Undefined && b instanceof Undefined),
  escaped: (value) => value instanceof Markup,
  eq: equal,
  equalto: equal,
  '==': equal,
  ne: (a, b) => !equal(a, b!),
  '!=': (a, b) => !equal(a, b!),
  lt: (a, b) => compare(a, b ?? null) < 0,
  lessthan: (a, b) => compare(a, b ?? null) < 0,
  '<': (a, b) => compare(a, b ?? null) < 0,
  le: (a, b) => compare(a, b ?? null) <= 0,
  '<=': (a, b) => compare(a, b ?? null) <= 0,
  gt: (a, b) => compare(a, b ?? null) > 0,
  greaterthan: (a, b) => compare(a, b ?? null) > 0,
  '>': (a, b) => compare(a, b ?? null) > 0,
  ge: (a, b) => compare(a, b ?? null) >= 0,
  '>=': (a, b) => compare(a, b ?? null) >= 0,
};

/** Runs a test by name. */
export function runTest(name: string, value: Value, args: Value[]): boolean {
  const test = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
  if (test === undefined) throw new TemplateFault(`No test named '${name}'`);
  return test(name === 'escaped' ? value : plain(value), ...args.map(plain));
}
