import { BertPreTokenizer, SplitPreTokenizer } from '@huggingface/tokenizers';
import { TokenizerError } from '../errors';
import { isJsonObject, type JsonObject } from '../json-file';
import { toByteChars } from './byte-level';

/** Cuts a normalised text into words; `first` says that the text stands at the very start of the input. */
export type PreTokenizer = (text: string, first: boolean) => string[];

/**
 * Reads the `pre_tokenizer` of a tokenizer.json. Written after the reference (Rust) library: that of
 * @huggingface/tokenizers knows two of the five split behaviours, `\d` for digits, `\w` for words, and does not split
 * in Metaspace. Its translation of Oniguruma patterns is used.
 *
 * @throws TokenizerError where it is not implemented.
 */
export function readPreTokenizer(config: unknown, file: string): PreTokenizer {
  if (config === null || config === undefined) return (text) => [text];
  const options = isJsonObject(config) ? config : {};
  const split = (pattern: RegExp, behavior: unknown = 'Isolated', invert = false): PreTokenizer => {
    const cut = readBehavior(behavior, file);
    return (text) => cut(pieces(text, pattern, invert));
  };
  switch (options.type) {
    case 'Sequence': {
      const steps = (options.pretokenizers as unknown[]).map((step) => readPreTokenizer(step, file));
      return (text, first) =>
        steps.reduce((words, step) => words.flatMap((word, i) => step(word, first && i === 0)), [text]);
    }
    case 'ByteLevel':
      return byteLevel(options);
    case 'Split':
      return split(patternOf(options, file), options.behavior, options.invert === true);
    case 'Digits':
      return split(options.individual_digits === true ? /\p{N}/gu : /\p{N}+/gu);
    case 'Punctuation':
      return split(/[\p{P}\u0021-\u002F\u003A-\u0040\u005B-\u0060\u007B-\u007E]/gu, options.behavior);
    case 'Metaspace':
      return metaspace(options);
    case 'Whitespace':
      return split(WORDS, 'Removed', true);
    case 'WhitespaceSplit':
      return split(/\p{White_Space}/gu, 'Removed');
    case 'CharDelimiterSplit':
      return split(patternOf({ pattern: { String: options.delimiter } }, file), 'Removed');
    case 'BertPreTokenizer': {
      const bert = new BertPreTokenizer();
      return (text) => bert.pre_tokenize(text);
    }
  }
  const reason = `'${String(options.type)}' is not implemented`;
  throw new TokenizerError({ file, field: 'pre_tokenizer.type', reason });
}

function patternOf(options: JsonObject, file: string): RegExp {
  try {
    const { pattern } = new SplitPreTokenizer(options as never) as unknown as { pattern: RegExp | null };
    if (pattern !== null) return pattern;
  } catch (cause) {
    const reason = `${(cause as Error).message}: ${JSON.stringify(options.pattern)}`;
    throw new TokenizerError({ file, field: 'pre_tokenizer.pattern', reason, cause });
  }
  throw new TokenizerError({ file, field: 'pre_tokenizer.pattern', reason: 'expected a String or a Regex' });
}

interface Piece {
  readonly text: string;
  readonly match: boolean;
}

function pieces(text: string, pattern: RegExp, invert: boolean): Piece[] {
  const out: Piece[] = [];
  let done = 0;
  for (const { 0: found, index } of text.matchAll(pattern)) {
    if (found === '') continue;
    if (index > done) out.push({ text: text.slice(done, index), match: invert });
    out.push({ text: found, match: !invert });
    done = index + found.length;
  }
  if (done < text.length) out.push({ text: text.slice(done), match: invert });
  return out;
}

/** What becomes of the matches, the delimiters: kept apart, dropped, or joined to a neighbour. */
function readBehavior(behavior: unknown, file: string): (parts: Piece[]) => string[] {
  switch (String(behavior).toLowerCase()) {
    case 'isolated':
      return (parts) => parts.map((part) => part.text);
    case 'removed':
      return (parts) => parts.filter((part) => !part.match).map((part) => part.text);
    case 'contiguous':
      return (parts) => join(parts, (before, part) => before.match === part.match);
    case 'mergedwithprevious':
      return (parts) => join(parts, (before, part) => part.match && !before.match);
    case 'mergedwithnext':
      return (parts) => join(parts, (before, part) => before.match && !part.match);
  }
  const reason = `'${String(behavior)}' is not implemented`;
  throw new TokenizerError({ file, field: 'pre_tokenizer.behavior', reason });
}

function join(parts: Piece[], joins: (before: Piece, part: Piece) => boolean): string[] {
  const out: string[] = [];
  parts.forEach((part, i) => {
    const before = parts[i - 1];
    if (before !== undefined && joins(before, part)) out.push(out.pop()! + part.text);
    else out.push(part.text);
  });
  return out;
}

// `\w+|[^\w\s]+` as Rust's regex crate means it; Oniguruma, whose patterns `Split` has, counts other characters.
const WORDS =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;

// GPT-2's pattern, with White_Space for \s: JavaScript's \s has the BOM and lacks U+0085.
const GPT2 =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

function byteLevel(options: JsonObject): PreTokenizer {
  const useRegex = options.use_regex !== false;
  return (text) => {
    const spaced = options.add_prefix_space === true && !text.startsWith(' ') ? ` ${text}` : text;
    const words = useRegex ? (spaced.match(GPT2) ?? []) : [spaced];
    return words.map(toByteChars);
  };
}

function metaspace(options: JsonObject): PreTokenizer {
  const replacement = String(options.replacement ?? '▁');
  const scheme = options.prepend_scheme ?? (options.add_prefix_space === false ? 'never' : 'always');
  return (text, first) => {
    const marked = text.replaceAll(' ', replacement);
    const prepend = !marked.startsWith(replacement) && (scheme === 'always' || (scheme === 'first' && first));
    const whole = prepend ? replacement + marked : marked;
    if (options.split === false) return [whole];
    const parts = whole.split(replacement);
    return parts.map((part, i) => (i === 0 ? part : replacement + part)).filter((part) => part !== '');
  };
}
