import { isJsonObject, type JsonObject } from './json-file';

/** Special tokens by the name templates know them by, such as `bos_token`. */
export type SpecialTokens = Readonly<Record<string, string>>;

const NAMES = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/** The text of a token given as a string or as an AddedToken object. */
function tokenContent(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isJsonObject(value) && typeof value.content === 'string' ? value.content : undefined;
}

/**
 * The special tokens that tokenizer_config.json and special_tokens_map.json name. As in transformers, the map only
 * counts where the config says nothing, and overrides it in old folders, whose config has no `added_tokens_decoder`.
 */
export function namedSpecialTokens(config: JsonObject, map: JsonObject = {}): SpecialTokens {
  const merged = config.added_tokens_decoder === undefined ? { ...config, ...map } : { ...map, ...config };
  const tokens: Record<string, string> = {};
  for (const name of NAMES) {
    const content = tokenContent(merged[name]);
    if (content !== undefined) tokens[name] = content;
  }
  // Model-specific names, such as image_token of multimodal models.
  for (const source of [merged.extra_special_tokens, merged.model_specific_special_tokens]) {
    if (!isJsonObject(source)) continue;
    for (const [name, value] of Object.entries(source)) {
      const content = tokenContent(value);
      if (content !== undefined) tokens[name] = content;
    }
  }
  return tokens;
}

/** The contents of every token the two files call special, beyond what tokenizer.json marks. */
export function specialContents(config: JsonObject, map: JsonObject = {}): Set<string> {
  const contents = new Set(Object.values(namedSpecialTokens(config, map)));
  for (const list of [
    config.additional_special_tokens ?? map.additional_special_tokens,
    config.extra_special_tokens ?? map.extra_special_tokens,
  ]) {
    if (!Array.isArray(list)) continue;
    for (const value of list) {
      const content = tokenContent(value);
      if (content !== undefined) contents.add(content);
    }
  }
  return contents;
}
