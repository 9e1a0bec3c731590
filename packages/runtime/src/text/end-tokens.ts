import { isJsonObject, type JsonObject, readJsonFile } from './json-file';
import type { Tokenizer } from './tokenizer';

/** The parsed files of a model folder that name end tokens. */
export interface EndTokenFiles {
  /** generation_config.json. */
  generationConfig?: JsonObject | undefined;
  /** config.json. */
  config?: JsonObject | undefined;
}

/**
 * The tokens that end a text: the eos ids of generation_config.json, where it has none those of config.json, where that
 * has none those of its text_config; and the tokenizer's eos in any case. Each source alone misses the end token of
 * some published model.
 *
 * @param source A model folder, or its parsed files.
 * @throws TokenizerError where a file of the folder is not JSON.
 */
export async function endTokens(
  source: string | EndTokenFiles,
  tokenizer: Pick<Tokenizer, 'eosId'> | null,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Set<number>> {
  const files = typeof source === 'string' ? await readFiles(source, options.signal) : source;
  const text = files.config?.text_config;
  const candidates = [files.generationConfig, files.config, isJsonObject(text) ? text : undefined];
  const ids = candidates.map((config) => eosIds(config?.eos_token_id)).find((found) => found.length > 0) ?? [];
  return new Set(tokenizer?.eosId === undefined ? ids : [...ids, tokenizer.eosId]);
}

async function readFiles(dir: string, signal: AbortSignal | undefined): Promise<EndTokenFiles> {
  const [generationConfig, config] = await Promise.all([
    readJsonFile(dir, 'generation_config.json', signal),
    readJsonFile(dir, 'config.json', signal),
  ]);
  return { generationConfig, config };
}

function eosIds(value: unknown): number[] {
  const list = Array.isArray(value) ? value : [value];
  return list.filter((id): id is number => Number.isInteger(id) && id >= 0);
}
