import { parse as parseTokens, tokenize } from '@huggingface/jinja';
import type { Node } from './ast';

type Token = ReturnType<typeof tokenize>[number];

/** Marks the end of a one-item tuple, `(a,)`, for the evaluator: the parser wants an expression after a comma. */
export const TUPLE_END = ' tuple end';
/** Prefix of the filters that stand for tests with arguments, `x is divisibleby(3)`. */
export const TEST_FILTER = ' is ';
export const NEGATED_TEST_FILTER = ' is not ';

/**
 * Parses a chat template as transformers configures Jinja (trim_blocks, lstrip_blocks, loop controls). On top of what
 * the parser of @huggingface/jinja reads: `{% raw %}`, `x is test(arg)`, `x is test arg`, `(a,)`, `()`, `1e-7`.
 *
 * @throws SyntaxError where the template is not Jinja.
 */
export function parseTemplate(template: string): Node {
  const tokens = tokenize(withoutRaw(template), { lstrip_blocks: true, trim_blocks: true });
  return parseTokens(rewriteTuples(rewriteTests(joinExponents(tokens)))) as unknown as Node;
}

const RAW = /(\{%-?)\s*raw\s*(-?%\}\n?)([\s\S]*?)(\{%-?)\s*endraw\s*(-?%\}\n?)/g;

/** `{% raw %}` blocks as a printed string, which the lexer knows. */
function withoutRaw(template: string): string {
  return template.replace(RAW, (_, before: string, open: string, body: string, close: string, after: string) => {
    let text = open.startsWith('-') ? body.trimStart() : body;
    if (close.includes('-')) text = text.trimEnd();
    const escaped = text.replace(/[\\'"\n\r\t\f\v\b]/g, (char) => RAW_ESCAPES[char]!);
    // Braces would still look like tags to the lexer's preprocessing, so they go in as escapes too.
    const quoted = escaped.replace(/[{}%#]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`);
    return `${before.includes('-') ? '{{-' : '{{'} '${quoted}' ${after.startsWith('-') ? '-}}' : '}}'}`;
  });
}

const RAW_ESCAPES: Record<string, string> = {
  '\\': '\\\\',
  "'": "\\'",
  '"': '\\"',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\v': '\\v',
  '\b': '\\b',
};

// Words that end a test rather than begin its argument.
const NOT_AN_ARGUMENT = new Set(['and', 'or', 'else', 'if', 'is', 'in', 'not', 'recursive']);
const OPENING: Record<string, string> = { OpenParen: 'CloseParen', OpenSquareBracket: 'CloseSquareBracket' };

/** `a is name(args)` becomes the filter call `a|' is name'(args)`, which binds alike and which the parser knows. */
function rewriteTests(tokens: Token[]): Token[] {
  const out: Token[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const negated = isWord(tokens[i + 1], 'not');
    const name = tokens[i + (negated ? 2 : 1)];
    const argument = i + (negated ? 3 : 2);
    if (!isWord(token, 'is') || name?.type !== 'Identifier' || !startsArgument(tokens[argument])) {
      out.push(token);
      continue;
    }
    const end = argumentEnd(tokens, argument);
    const filter = (negated ? NEGATED_TEST_FILTER : TEST_FILTER) + name.value;
    const inner = rewriteTests(tokens.slice(argument, end));
    const call =
      tokens[argument]!.type === 'OpenParen' ? inner : [make('(', 'OpenParen'), ...inner, make(')', 'CloseParen')];
    out.push(make('|', 'Pipe'), make(filter, 'Identifier'), ...call);
    i = end - 1;
  }
  return out;
}

function startsArgument(token: Token | undefined): boolean {
  if (token === undefined) return false;
  if (token.type === 'Identifier') return !NOT_AN_ARGUMENT.has(token.value);
  return ['OpenParen', 'OpenSquareBracket', 'StringLiteral', 'NumericLiteral'].includes(token.type);
}

/** The token after a primary expression and the fields, items and calls that follow it. */
function argumentEnd(tokens: Token[], start: number): number {
  let i = skipGroup(tokens, start);
  if (tokens[start]!.type === 'OpenParen') return i;
  for (;;) {
    if (tokens[i]?.type === 'Dot') i += 2;
    else if (tokens[i] !== undefined && OPENING[tokens[i]!.type] !== undefined) i = skipGroup(tokens, i);
    else return i;
  }
}

function skipGroup(tokens: Token[], start: number): number {
  const open = tokens[start]!.type;
  const close = OPENING[open];
  if (close === undefined) return start + 1;
  let depth = 0;
  for (let i = start; i < tokens.length; i++) {
    if (tokens[i]!.type === open) depth++;
    else if (tokens[i]!.type === close && --depth === 0) return i + 1;
  }
  return tokens.length;
}

/** Marks the ends of tuples the parser cannot read; call arguments, which may end in a comma, are left alone. */
function rewriteTuples(tokens: Token[]): Token[] {
  const groups: boolean[] = [];
  const end = make(TUPLE_END, 'Identifier');
  return tokens.flatMap((token, i) => {
    const before = tokens[i - 1];
    if (token.type === 'OpenParen') groups.push(!endsOperand(before));
    if (token.type === 'CloseStatement' && before?.type === 'Comma') return [end, token];
    if (token.type !== 'CloseParen' || !groups.pop()) return [token];
    if (before?.type === 'Comma') return [end, token];
    return before?.type === 'OpenParen' ? [end, make(',', 'Comma'), end, token] : [token];
  });
}

/** `1e3` and `1e-7`, which the lexer takes apart. */
function joinExponents(tokens: Token[]): Token[] {
  const out: Token[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const [mantissa, exponent, sign, digits] = tokens.slice(i, i + 4);
    if (mantissa?.type === 'NumericLiteral' && exponent?.type === 'Identifier') {
      const whole = /^e\d+$/i.test(exponent.value);
      const signed =
        /^e$/i.test(exponent.value) && /^[-+]$/.test(sign?.value ?? '') && digits?.type === 'NumericLiteral';
      if (whole || signed) {
        const text = mantissa.value + exponent.value + (whole ? '' : sign!.value + digits!.value);
        out.push(make(decimal(Number(text)), 'NumericLiteral'));
        i += whole ? 1 : 3;
        continue;
      }
    }
    out.push(mantissa!);
  }
  return out;
}

/** A number with a point and no exponent, which the parser reads as a float. */
function decimal(value: number): string {
  return Number.isInteger(value) ? `${BigInt(value)}.0` : value.toFixed(100);
}

const OPERATOR_WORDS = new Set(['and', 'or', 'not', 'in', 'is', 'if', 'elif', 'else', 'set', 'for', 'call']);

/** Whether a parenthesis after this token is a call. */
function endsOperand(token: Token | undefined): boolean {
  if (token?.type === 'Identifier') return !OPERATOR_WORDS.has(token.value);
  return token?.type === 'CloseParen' || token?.type === 'CloseSquareBracket' || token?.type === 'StringLiteral';
}

const isWord = (token: Token | undefined, word: string): boolean =>
  token?.type === 'Identifier' && token.value === word;
const make = (value: string, type: Token['type']): Token => ({ value, type });
