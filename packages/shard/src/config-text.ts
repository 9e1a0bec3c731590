import type { ShardDType } from './plan/plan';
import { NESTED_CONFIGS, OWN_METHOD, QUANTISATION_KEYS } from './sources/quantisation-config';

export interface ConfigChanges {
  /** What floating-point tensors were converted to. */
  readonly dtype: ShardDType | null;
  /** How the model was quantised by those who published it; null: nothing in the layered folder is quantised. */
  readonly source: string | null;
}

/**
 * The configuration of a layered folder. Changed in place, so that everything else keeps its spelling (Python's 1e-05
 * and 10000.0 among it). The quantisation settings of the source are replaced by a method of our own: transformers and
 * others then refuse the folder instead of reading codes as weights.
 */
export function configText(config: string, { dtype, source }: ConfigChanges): string {
  const plain = withoutKeys(dtype === null ? config : withDtype(config, dtype), QUANTISATION_KEYS, NESTED_CONFIGS);
  if (source === null) return plain;
  const end = plain.lastIndexOf('}');
  const body = plain.slice(0, end).trimEnd();
  const comma = body.endsWith('{') ? '' : ',';
  const note = JSON.stringify({ quant_method: OWN_METHOD, source });
  return `${body}${comma}\n "quantization_config": ${note}\n${plain.slice(end)}`;
}

function withDtype(config: string, dtype: ShardDType): string {
  return config.replace(/("(?:torch_dtype|dtype)"\s*:\s*)"(?:float32|float16|bfloat16)"/g, `$1"${dtype}"`);
}

/** Cuts members out of an object and of the objects named `nested` in it. The text is known to be JSON. */
function withoutKeys(text: string, keys: readonly string[], nested: readonly string[]): string {
  const members = membersOf(text);
  const kept = members.filter(({ key }) => !keys.includes(key));
  const parts = kept.map(({ key, begin, value, end }) => {
    const isObject = nested.includes(key) && text[value] === '{';
    return (
      text.slice(begin, value) + (isObject ? withoutKeys(text.slice(value, end), keys, nested) : text.slice(value, end))
    );
  });
  if (members.length === kept.length && parts.every((part, i) => part === text.slice(kept[i]!.begin, kept[i]!.end)))
    return text;
  const open = text.indexOf('{') + 1;
  const close = text.lastIndexOf('}');
  const tail = /\s*$/.exec(text.slice(open, close))![0];
  return `${text.slice(0, open)}${parts.join(',')}${tail}${text.slice(close)}`;
}

interface Member {
  readonly key: string;
  /** Behind the brace or comma before it. */
  readonly begin: number;
  readonly value: number;
  /** Behind the value's last character that is not a space. */
  readonly end: number;
}

/** A token: a string, or any other character that is not a space. */
const TOKEN = /"(?:[^"\\]|\\.)*"|\S/gy;
const SPACE = /\s*/gy;

function membersOf(text: string): Member[] {
  const members: Member[] = [];
  let depth = 0;
  let begin = 0;
  let key: string | undefined;
  let value: number | undefined;
  let end = 0;
  const close = () => {
    if (key !== undefined && value !== undefined) members.push({ key, begin, value, end });
    key = undefined;
    value = undefined;
  };
  for (let at = skip(text, 0); at < text.length; at = skip(text, end)) {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text)![0];
    const before = end;
    end = at + token.length;
    if (depth === 1 && (token === ',' || token === '}')) {
      end = before;
      close();
      end = at + token.length;
      begin = end;
    } else if (depth === 1 && key === undefined && token.startsWith('"')) key = JSON.parse(token) as string;
    else if (depth === 1 && key !== undefined && value === undefined && token !== ':') value = at;
    if (token === '{' || token === '[') depth++;
    if (token === '}' || token === ']') depth--;
    if (depth === 1 && token === '{' && members.length === 0 && key === undefined) begin = end;
  }
  return members;
}

function skip(text: string, from: number): number {
  SPACE.lastIndex = from;
  SPACE.exec(text);
  return SPACE.lastIndex;
}
