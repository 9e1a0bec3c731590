import { str } from './print';
import { type Callable, Markup, TemplateFault, typeName, Undefined, type Value } from './values';

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&#39;', '"': '&#34;' };

export function escapeHtml(text: string): string {
  return text.replace(/[&<>'"]/g, (char) => ENTITIES[char]!);
}

/** `escape` of markupsafe: what is Markup already stays as it is. */
export function escapeMarkup(value: Value): Markup {
  return value instanceof Markup ? value : new Markup(escapeHtml(str(value)));
}

/** `a + b` where one of them is Markup. */
export function addMarkup(left: Value, right: Value): Markup {
  for (const side of [left, right]) {
    if (typeof side !== 'string' && !(side instanceof Markup)) {
      throw new TemplateFault(`unsupported operand type(s) for +: '${typeName(left)}' and '${typeName(right)}'`);
    }
  }
  return new Markup(escapeMarkup(left).text + escapeMarkup(right).text);
}

/** Strings as Markup, in lists too; anything else as it is. */
export function markupOf(value: Value): Value {
  if (typeof value === 'string') return new Markup(value);
  return Array.isArray(value) ? value.map(markupOf) : value;
}

/** A method of a string as Markup has it: string arguments are escaped, strings it returns are Markup. */
export function markupMethod(method: Callable | undefined, name: string): Value {
  if (method === undefined) return new Undefined(name);
  const escaped = (value: Value): Value => {
    if (typeof value === 'string') return escapeHtml(value);
    return Array.isArray(value) ? value.map(escaped) : value;
  };
  return (args, kwargs) => markupOf(method(args.map(escaped), kwargs));
}
