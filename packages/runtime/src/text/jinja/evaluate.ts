import type { CallExpression, Expression, FilterName, Identifier, MemberExpression, Node, Parameter } from './ast';
import { runFilter } from './filters';
import { markupMethod, markupOf } from './markup';
import { methodOf } from './methods';
import { binary, slice } from './operators';
import { NEGATED_TEST_FILTER, TEST_FILTER, TUPLE_END } from './parse';
import { str } from './print';
import { Scope } from './scope';
import { runTest } from './tests';
import {
  type Callable,
  codePoints,
  equals,
  Float,
  Generator,
  getKey,
  iterate,
  type Kwargs,
  Markup,
  Namespace,
  numeric,
  setKey,
  TemplateFault,
  Tuple,
  truthy,
  typeName,
  Undefined,
  type Value,
} from './values';

// Control flow out of a loop's body.
class Break extends Error {}
class Continue extends Error {}

/**
 * Renders a parsed template with Python's semantics. @huggingface/jinja's own interpreter differs from Python in what
 * it prints, compares and refuses; its parser is used, its interpreter is not.
 *
 * @throws TemplateFault, TemplateRaised
 */
export function renderTemplate(program: Node, scope: Scope): string {
  const out: string[] = [];
  run(program, scope, out);
  return out.join('');
}

function runAll(body: Node[], scope: Scope, out: string[]): void {
  for (const node of body) run(node, scope, out);
}

function capture(body: Node[], scope: Scope): string {
  const out: string[] = [];
  runAll(body, scope, out);
  return out.join('');
}

/** Runs one statement, or prints one expression. */
function run(node: Node, scope: Scope, out: string[]): void {
  switch (node.type) {
    case 'Program':
      runAll(node.body, scope, out);
      break;
    case 'Comment':
      break;
    case 'If':
      runAll(truthy(evaluate(node.test, scope)) ? node.body : node.alternate, scope, out);
      break;
    case 'For':
      runFor(node, scope, out);
      break;
    case 'Break':
      throw new Break();
    case 'Continue':
      throw new Continue();
    case 'Set':
      runSet(node, scope);
      break;
    case 'Macro':
      scope.set(node.name.value, makeMacro(node.name.value, node.args, node.body, scope));
      break;
    case 'CallStatement':
      runCallBlock(node, scope, out);
      break;
    case 'FilterStatement':
      out.push(str(applyFilter(node.filter, capture(node.body, new Scope(scope)), scope)));
      break;
    default:
      out.push(str(evaluate(node, scope)));
  }
}

function runFor(node: Extract<Node, { type: 'For' }>, outer: Scope, out: string[]): void {
  const select = node.iterable.type === 'SelectExpression' ? node.iterable : undefined;
  const all = iterate(evaluate(select ? select.lhs : node.iterable, outer));
  const items =
    select === undefined ? all : all.filter((item) => truthy(evaluate(select.test, bind(node.loopvar, item, outer))));
  if (items.length === 0) runAll(node.defaultBlock, new Scope(outer), out);
  let changed: Value | undefined;
  for (const [i, item] of items.entries()) {
    const scope = bind(node.loopvar, item, outer);
    const loop = new Namespace();
    const fields: [string, Value][] = [
      ['index', i + 1],
      ['index0', i],
      ['revindex', items.length - i],
      ['revindex0', items.length - i - 1],
      ['first', i === 0],
      ['last', i === items.length - 1],
      ['length', items.length],
      ['previtem', items[i - 1] ?? new Undefined('there is no previous item')],
      ['nextitem', items[i + 1] ?? new Undefined('there is no next item')],
      ['depth', 1],
      ['depth0', 0],
      ['cycle', (args) => args[i % args.length] ?? null],
      [
        'changed',
        (args) => {
          const now = Tuple.fromItems(args);
          const differs = changed === undefined || !equals(changed, now);
          changed = now;
          return differs;
        },
      ],
    ];
    for (const [name, value] of fields) loop.fields.set(name, value);
    scope.set('loop', loop);
    try {
      runAll(node.body, scope, out);
    } catch (error) {
      if (error instanceof Break) return;
      if (!(error instanceof Continue)) throw error;
    }
  }
}

/** A scope of its own for one turn of a loop, with the loop's variables set: what a turn sets, the next does not see. */
function bind(target: Expression, value: Value, outer: Scope): Scope {
  const scope = new Scope(outer);
  assign(target, value, scope);
  return scope;
}

function assign(target: Expression, value: Value, scope: Scope): void {
  if (target.type === 'Identifier') {
    scope.set(target.value, value);
    return;
  }
  if (target.type === 'TupleLiteral') {
    const items = iterate(value);
    if (items.length !== target.value.length) {
      throw new TemplateFault(`cannot unpack ${items.length} values into ${target.value.length} names`);
    }
    for (const [i, part] of target.value.entries()) assign(part, items[i]!, scope);
    return;
  }
  if (target.type === 'MemberExpression' && target.property.type === 'Identifier') {
    const owner = evaluate(target.object, scope);
    if (owner instanceof Namespace) {
      owner.fields.set(target.property.value, value);
      return;
    }
  }
  throw new TemplateFault('cannot assign attribute on non-namespace object');
}

function runSet(node: Extract<Node, { type: 'Set' }>, scope: Scope): void {
  if (node.value !== null) {
    assign(node.assignee, evaluate(node.value, scope), scope);
    return;
  }
  let target = node.assignee;
  let value: Value = capture(node.body, new Scope(scope));
  // `{% set x | trim %}...{% endset %}` parses as if `x | trim` were assigned to.
  const filters: FilterName[] = [];
  while (target.type === 'FilterExpression') {
    filters.unshift(target.filter);
    target = target.operand;
  }
  for (const filter of filters) value = applyFilter(filter, value, scope);
  assign(target, value, scope);
}

/** A macro as a function; it sees the scope it was defined in, not the caller's. */
function makeMacro(name: string, parameters: Parameter[], body: Node[], defined: Scope): Callable {
  const takesMore = mentions(body, 'varargs');
  const takesOthers = mentions(body, 'kwargs');
  return (args, kwargs) => {
    const scope = new Scope(defined);
    const rest = new Map(kwargs);
    const caller = rest.get('caller');
    rest.delete('caller');
    const defaults: [string, Expression][] = [];
    parameters.forEach((parameter, i) => {
      const key = parameter.type === 'Identifier' ? parameter.value : parameter.key.value;
      const value = i < args.length ? args[i] : rest.get(key);
      rest.delete(key);
      if (value === undefined && parameter.type !== 'Identifier') defaults.push([key, parameter.value]);
      scope.set(key, orUndefined(value, key));
    });
    scope.set('varargs', Tuple.fromItems(args.slice(parameters.length)));
    scope.set('kwargs', new Map<Value, Value>(rest));
    scope.set('caller', caller ?? new Undefined('caller'));
    // Defaults see the parameters before them.
    for (const [key, expression] of defaults) scope.set(key, evaluate(expression, scope));
    if (args.length > parameters.length && !takesMore) {
      throw new TemplateFault(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    }
    if (rest.size > 0 && !takesOthers) {
      throw new TemplateFault(`macro '${name}' takes no keyword argument '${[...rest.keys()][0]}'`);
    }
    return capture(body, scope);
  };
}

/** Whether a name is read anywhere in a macro's body: only then does Jinja collect varargs or kwargs. */
function mentions(tree: unknown, name: string): boolean {
  if (Array.isArray(tree)) return tree.some((item) => mentions(item, name));
  if (tree instanceof Map) return [...tree].some((entry) => mentions(entry, name));
  if (tree === null || typeof tree !== 'object') return false;
  const node = tree as Partial<Identifier>;
  if (node.type === 'Identifier' && node.value === name) return true;
  return Object.values(tree).some((item) => mentions(item, name));
}

function runCallBlock(node: Extract<Node, { type: 'CallStatement' }>, scope: Scope, out: string[]): void {
  const [args, kwargs] = callArguments(node.call.args, scope);
  kwargs.set('caller', makeMacro('caller', node.callerArgs ?? [], node.body, scope));
  out.push(str(call(evaluate(node.call.callee, scope), args, kwargs)));
}

/** The value of an expression. */
function evaluate(node: Expression, scope: Scope): Value {
  switch (node.type) {
    case 'IntegerLiteral':
      return node.value;
    case 'FloatLiteral':
      return new Float(node.value);
    case 'StringLiteral':
      return node.value;
    case 'ArrayLiteral':
      return node.value.map((item) => evaluate(item, scope));
    case 'TupleLiteral':
      return Tuple.fromItems(node.value.filter((item) => !isTupleEnd(item)).map((item) => evaluate(item, scope)));
    case 'ObjectLiteral': {
      const dict = new Map<Value, Value>();
      for (const [key, value] of node.value) setKey(dict, evaluate(key, scope), evaluate(value, scope));
      return dict;
    }
    case 'Identifier':
      return orUndefined(scope.get(node.value), node.value);
    case 'CallExpression': {
      const callee = evaluate(node.callee, scope);
      return call(callee, ...callArguments(node.args, scope));
    }
    case 'MemberExpression':
      return member(node, scope);
    case 'FilterExpression':
      return applyFilter(node.filter, evaluate(node.operand, scope), scope);
    case 'TestExpression':
      return runTest(node.test.value, evaluate(node.operand, scope), []) !== node.negate;
    case 'UnaryExpression':
      return unary(node.operator.value, evaluate(node.argument, scope));
    case 'BinaryExpression':
      return binaryExpression(node.operator.value, node.left, node.right, scope);
    case 'Ternary':
      return evaluate(truthy(evaluate(node.condition, scope)) ? node.trueExpr : node.falseExpr, scope);
    case 'SelectExpression':
      return truthy(evaluate(node.test, scope)) ? evaluate(node.lhs, scope) : new Undefined('the inline if-expression');
    default:
      throw new TemplateFault(`${node.type} cannot stand here`);
  }
}

const isTupleEnd = (node: Expression): boolean => node.type === 'Identifier' && node.value === TUPLE_END;

function binaryExpression(operator: string, left: Expression, right: Expression, scope: Scope): Value {
  const first = evaluate(left, scope);
  if (operator === 'and') return truthy(first) ? evaluate(right, scope) : first;
  if (operator === 'or') return truthy(first) ? first : evaluate(right, scope);
  return binary(operator, first, evaluate(right, scope));
}

function unary(operator: string, value: Value): Value {
  if (operator === 'not') return !truthy(value);
  const number = numeric(value);
  if (number === undefined) throw new TemplateFault(`bad operand type for unary ${operator}: '${typeName(value)}'`);
  if (value instanceof Float) return new Float(operator === '-' ? -number : number);
  return operator === '-' ? 0 - number : number;
}

function member(node: MemberExpression, scope: Scope): Value {
  const object = evaluate(node.object, scope);
  const { property } = node;
  if (property.type === 'SliceExpression') {
    const part = (side: Expression | undefined) => (side === undefined ? null : evaluate(side, scope));
    return slice(object, part(property.start), part(property.stop), part(property.step));
  }
  if (!node.computed && property.type === 'Identifier') return attribute(object, property.value);
  return item(object, evaluate(property, scope));
}

/** `object.name`: Python looks for a method first, then for an item. */
function attribute(object: Value, name: string): Value {
  if (object instanceof Undefined) throw new TemplateFault(`'${object.name}' is undefined`);
  if (object instanceof Namespace) return orUndefined(object.fields.get(name), name);
  if (object instanceof Markup) return markupMethod(methodOf(object.text, name), name);
  const method = methodOf(object, name);
  if (method !== undefined) return method;
  return orUndefined(object instanceof Map ? getKey(object, name) : undefined, name);
}

/** `object[key]`: an item first, then an attribute of that name. */
function item(object: Value, key: Value): Value {
  if (object instanceof Undefined) throw new TemplateFault(`'${object.name}' is undefined`);
  if (object instanceof Markup) return markupOf(item(object.text, key));
  if (object instanceof Map) {
    const found = getKey(object, key);
    if (found !== undefined) return found;
  } else if (typeof key === 'number' && (typeof object === 'string' || isIndexable(object))) {
    return orUndefined((typeof object === 'string' ? codePoints(object) : object).at(key), `item ${key}`);
  }
  return typeof key === 'string' ? attribute(object, key) : new Undefined(str(key));
}

const isIndexable = (value: Value): value is Value[] => Array.isArray(value) && !(value instanceof Generator);

// Not `??`: None is a value.
const orUndefined = (value: Value | undefined, name: string): Value =>
  value === undefined ? new Undefined(name) : value;

function call(callee: Value, args: Value[], kwargs: Kwargs): Value {
  if (typeof callee === 'function') return callee(args, kwargs);
  if (callee instanceof Undefined) throw new TemplateFault(`'${callee.name}' is undefined`);
  throw new TemplateFault(`'${typeName(callee)}' object is not callable`);
}

function callArguments(nodes: Expression[], scope: Scope): [Value[], Kwargs] {
  const args: Value[] = [];
  const kwargs: Kwargs = new Map();
  for (const node of nodes) {
    if (node.type === 'KeywordArgumentExpression') kwargs.set(node.key.value, evaluate(node.value, scope));
    else if (node.type === 'SpreadExpression') args.push(...iterate(evaluate(node.argument, scope)));
    else if (node.type === 'KeywordSpreadExpression') {
      const dict = evaluate(node.argument, scope);
      if (!(dict instanceof Map)) throw new TemplateFault(`argument after ** must be a mapping, not ${typeName(dict)}`);
      for (const [key, value] of dict) kwargs.set(str(key), value);
    } else args.push(evaluate(node, scope));
  }
  return [args, kwargs];
}

function applyFilter(filter: FilterName, value: Value, scope: Scope): Value {
  if (filter.type === 'Identifier') return runFilter(filter.value, value, [], new Map());
  const name = filterName(filter);
  const [args, kwargs] = callArguments(filter.args, scope);
  if (name.startsWith(NEGATED_TEST_FILTER)) return !runTest(name.slice(NEGATED_TEST_FILTER.length), value, args);
  if (name.startsWith(TEST_FILTER)) return runTest(name.slice(TEST_FILTER.length), value, args);
  return runFilter(name, value, args, kwargs);
}

function filterName(filter: CallExpression): string {
  if (filter.callee.type !== 'Identifier') throw new TemplateFault('a filter must be a name');
  return filter.callee.value;
}
