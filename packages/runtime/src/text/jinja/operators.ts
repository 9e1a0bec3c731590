import { addMarkup } from './markup';
import { str } from './print';
import { percentFormat } from './strings';
import {
  codePoints,
  compare,
  contains,
  equals,
  Float,
  Generator,
  Markup,
  numberLike,
  numeric,
  plain,
  TemplateFault,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values';

/** A binary operator on evaluated operands (`and` and `or` are the evaluator's). */
export function binary(operator: string, left: Value, right: Value): Value {
  switch (operator) {
    case '==':
      return equals(left, right);
    case '!=':
      return !equals(left, right);
    case 'in':
      return contains(right, left);
    case 'not in':
      return !contains(right, left);
    case '~':
      return str(left) + str(right);
  }
  for (const operand of [left, right]) {
    if (operand instanceof Undefined) throw new TemplateFault(`'${operand.name}' is undefined`);
  }
  switch (operator) {
    case '<':
      return compare(left, right) < 0;
    case '>':
      return compare(left, right) > 0;
    case '<=':
      return compare(left, right) <= 0;
    case '>=':
      return compare(left, right) >= 0;
  }
  return arithmetic(operator, left, right);
}

function arithmetic(operator: string, left: Value, right: Value): Value {
  if (left instanceof Markup || right instanceof Markup) return markupArithmetic(operator, left, right);
  const a = numeric(left);
  const b = numeric(right);
  if (a !== undefined && b !== undefined) return numbers(operator, left, right, a, b);
  if (operator === '+') {
    if (typeof left === 'string' && typeof right === 'string') return left + right;
    if (isList(left) && isList(right) && left instanceof Tuple === right instanceof Tuple) {
      return left instanceof Tuple ? Tuple.fromItems([...left, ...right]) : [...left, ...right];
    }
    if (typeof left === 'string') throw new TemplateFault(`can only concatenate str (not "${typeName(right)}") to str`);
  }
  if (operator === '%' && typeof left === 'string') return percentFormat(left, right);
  if (operator === '*') {
    if (typeof right === 'number') return repeat(left, right);
    if (typeof left === 'number') return repeat(right, left);
  }
  throw new TemplateFault(`unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`);
}

const isList = (value: Value): value is Value[] => Array.isArray(value) && !(value instanceof Generator);

function markupArithmetic(operator: string, left: Value, right: Value): Value {
  if (operator === '+') return addMarkup(left, right);
  const result = arithmetic(operator, plain(left), plain(right));
  return typeof result === 'string' ? new Markup(result) : result;
}

function numbers(operator: string, left: Value, right: Value, a: number, b: number): Value {
  if (b === 0 && (operator === '/' || operator === '//' || operator === '%'))
    throw new TemplateFault('division by zero');
  switch (operator) {
    case '+':
      return numberLike(a + b, left, right);
    case '-':
      return numberLike(a - b, left, right);
    case '*':
      return numberLike(a * b, left, right);
    case '/':
      return new Float(a / b);
    case '//':
      return numberLike(Math.floor(a / b), left, right);
    case '%':
      // The sign follows the divisor, unlike JavaScript's.
      return numberLike(a - b * Math.floor(a / b), left, right);
    case '**':
      return b < 0 ? new Float(a ** b) : numberLike(a ** b, left, right);
  }
  throw new TemplateFault(`unknown operator ${operator}`);
}

function repeat(value: Value, times: number): Value {
  const count = Math.max(0, times);
  if (typeof value === 'string') return value.repeat(count);
  if (Array.isArray(value)) {
    const items = Array.from({ length: count }, () => [...value]).flat();
    return value instanceof Tuple ? Tuple.fromItems(items) : items;
  }
  throw new TemplateFault(`can't multiply sequence by non-int of type '${typeName(value)}'`);
}

/** `value[start:stop:step]`, with Python's clamping and negative indices. */
export function slice(value: Value, start: Value, stop: Value, step: Value): Value {
  if (value instanceof Markup) return new Markup(str(slice(value.text, start, stop, step)));
  const items = typeof value === 'string' ? codePoints(value) : value;
  if (items instanceof Undefined) throw new TemplateFault(`'${items.name}' is undefined`);
  if (!isList(items)) throw new TemplateFault(`'${typeName(value)}' object is not subscriptable by a slice`);
  const stride = index(step) ?? 1;
  if (stride === 0) throw new TemplateFault('slice step cannot be zero');
  const n = items.length;
  const [low, high] = stride > 0 ? [0, n] : [-1, n - 1];
  const clamp = (at: number) => Math.min(Math.max(at < 0 ? at + n : at, low), high);
  const from = index(start);
  const to = index(stop);
  const first = from === null ? (stride > 0 ? low : high) : clamp(from);
  const last = to === null ? (stride > 0 ? high : low) : clamp(to);
  const out: Value[] = [];
  for (let i = first; stride > 0 ? i < last : i > last; i += stride) out.push(items[i]!);
  if (typeof value === 'string') return out.join('');
  return value instanceof Tuple ? Tuple.fromItems(out) : out;
}

function index(value: Value): number | null {
  if (value === null) return null;
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return Number(value);
  throw new TemplateFault('slice indices must be integers or None or have an __index__ method');
}
