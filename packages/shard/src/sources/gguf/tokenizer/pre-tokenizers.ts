/** How `tokenizer.ggml.pre` cuts a text into words, as tokenizer.json says it. */
export interface PreTokenizer {
  /** Patterns whose matches, and what lies between them, become words of their own; one after the other. */
  readonly splits: readonly string[];
  /** Numbers are cut into digits first. */
  readonly digits?: true;
  /** GPT-2's own pattern comes last. */
  readonly gpt2?: true;
  /** A word that is a token is taken whole, whatever the merges say. */
  readonly ignoreMerges?: true;
  readonly addBos?: true;
  readonly nfc?: true;
}

// The patterns are those of the models' own tokenizer.json; which name means which: llama.cpp's llama-vocab.cpp.

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const WORD = '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+';
const SYMBOLS = ' ?[^\\s\\p{L}\\p{N}]+';
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const CASED = (mark: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${mark}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${mark}`;

const gpt2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|${SYMBOLS}|\\s+(?!\\S)|\\s+`;
const finnish = ' ?[^(\\s|.,!?…。，、।۔،)]+';
const llama3 = `${CONTRACTIONS}|${WORD}|\\p{N}{1,3}|${SYMBOLS}[\\r\\n]*|${SPACES}`;
const qwen2 = `${CONTRACTIONS}|${WORD}|\\p{N}|${SYMBOLS}[\\r\\n]*|${SPACES}`;
const qwen35 = `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`;
const tekken = `${CASED('')}|\\p{N}|${SYMBOLS}[\\r\\n/]*|${SPACES}`;
const gpt4o = `${CASED(`${CONTRACTIONS}?`)}|\\p{N}{1,3}|${SYMBOLS}[\\r\\n/]*|${SPACES}`;
const deepseek3 =
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+' +
  `| ?[\\p{P}\\p{S}]+[\\r\\n]*|${SPACES}`;

const plain: PreTokenizer = { splits: [], gpt2: true };
const digits: PreTokenizer = { splits: [], digits: true, gpt2: true };
const llama3Words: PreTokenizer = { splits: [llama3], ignoreMerges: true, addBos: true };
const qwen2Words: PreTokenizer = { splits: [qwen2], nfc: true };

const BY_NAME: Readonly<Record<string, PreTokenizer>> = {
  // What files of 2023 mean, whose models had patterns of their own: ggml's guess, kept as it is.
  default: { splits: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2, '\\p{N}+', '[0-9][0-9][0-9]'] },
  'gpt-2': plain,
  mpt: plain,
  olmo: plain,
  jais: plain,
  'phi-2': plain,
  trillion: plain,
  exaone4: plain,
  mellum: plain,
  'a.x-4.0': plain,
  gigachat: plain,
  'granite-docling': plain,
  starcoder: digits,
  refact: digits,
  'command-r': { ...digits, nfc: true },
  smollm: digits,
  codeshell: digits,
  exaone: digits,
  'minerva-7b': digits,
  mellum2: digits,
  llama3: llama3Words,
  'llama-v3': llama3Words,
  'llama-bpe': llama3Words,
  falcon3: llama3Words,
  'falcon-h1': llama3Words,
  pixtral: llama3Words,
  'midm-2.0': llama3Words,
  lfm2: llama3Words,
  dbrx: { splits: [llama3] },
  'smaug-bpe': { splits: [llama3] },
  glm4: { splits: [llama3] },
  'chatglm-bpe': { splits: [llama3] },
  qwen2: qwen2Words,
  'deepseek-r1-qwen': qwen2Words,
  kormo: qwen2Words,
  f2llmv2: qwen2Words,
  megrez: qwen2Words,
  qwen35: { splits: [qwen35], nfc: true },
  stablelm2: { splits: [qwen2] },
  hunyuan: { splits: [qwen2] },
  'solar-open': { splits: [qwen2] },
  'grok-2': { splits: [qwen2] },
  tekken: { splits: [tekken], ignoreMerges: true, addBos: true },
  'gpt-4o': { splits: [gpt4o] },
  llama4: { splits: [gpt4o] },
  kanana2: { splits: [gpt4o] },
  'deepseek-v3': { splits: ['\\p{N}{1,3}', '[一-龥぀-ゟ゠-ヿ]+', deepseek3] },
  'hunyuan-dense': { splits: ['\\p{N}{1,3}', '[一-龥぀-ゟ゠-ヿ]+', deepseek3] },
  'gpt3-finnish': { splits: [finnish] },
  'poro-chat': { splits: [finnish] },
  viking: { splits: [finnish, '\\p{N}'] },
  'deepseek-coder': { splits: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-퟿]+', '\\p{N}'] },
};

export const PRE_TOKENIZERS: readonly string[] = Object.keys(BY_NAME);

/** Undefined for a name that is not known here. Files from before the key (2023) mean `default`. */
export function preTokenizer(name: string | undefined): PreTokenizer | undefined {
  const known = name ?? 'default';
  return Object.hasOwn(BY_NAME, known) ? BY_NAME[known] : undefined;
}

/** The `pre_tokenizer` of a tokenizer.json for byte-level BPE. */
export function preTokenizerJson(pre: PreTokenizer, addPrefixSpace: boolean): Record<string, unknown> {
  const splits = pre.splits.map((pattern) => {
    return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
  });
  const cutDigits = pre.digits ? [{ type: 'Digits', individual_digits: true }] : [];
  const bytes = {
    type: 'ByteLevel',
    add_prefix_space: addPrefixSpace,
    trim_offsets: true,
    use_regex: pre.gpt2 === true,
  };
  return { type: 'Sequence', pretokenizers: [...splits, ...cutDigits, bytes] };
}
