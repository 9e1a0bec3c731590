import { isJsonObject, type JsonObject, readJsonFile } from './json-file';
import type { Tokenizer } from './tokenizer';

/** The parsed files of a model folder that name end tokens. */
export interface EndTokenSources {
  /** generation_config.json. */
  generationConfig?: JsonObject | undefined;
  /** config.json. */
  config?: JsonObject | undefined;
  /** Id of the tokenizer's eos token. */
  tokenizerEosId?: number | undefined;
}

/**
 * The tokens that end a text: the eos ids of generation_config.json, where it has none those of config.json, where that
 * has none those of its text_config; and the tokenizer's eos in any case. Each source alone misses the end token of
 * some published model.
 */
export function endTokens(sources: EndTokenSources): Set<number> {
  const { generationConfig, config, tokenizerEosId } = sources;
  const text = config?.text_config;
  const candidates = [generationConfig, config, isJsonObject(text) ? text : undefined];
  const ids = candidates.map((source) => eosIds(source?.eos_token_id)).find((found) => found.length > 0) ?? [];
  return new Set(tokenizerEosId === undefined ? ids : [...ids, tokenizerEosId]);
}

function eosIds(value: unknown): number[] {
  const list = Array.isArray(value) ? value : [value];
  return list.filter((id): id is number => Number.isInteger(id) && id >= 0);
}

/**
 * The tokens that end a text of the model in a folder.
 *
 * @throws TokenizerError where one of its files is not JSON.
 */
export async function loadEndTokens(
  dir: string,
  tokenizer: Tokenizer | null,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Set<number>> {
  const generationConfig = await readJsonFile(dir, 'generation_config.json', options.signal);
  const config = await readJsonFile(dir, 'config.json', options.signal);
  return endTokens({ generationConfig, config, tokenizerEosId: tokenizer?.eosId });
}
