import { join } from 'node:path';
import { FormatError } from '@airllm/loader';
import { isJsonObject, type JsonObject, readTextFile } from '../text/json-file';

/** What a model's publisher recommends: generation_config.json, as far as it concerns sampling and length. */
export interface GenerationDefaults {
  readonly doSample?: boolean;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly maxNewTokens?: number;
}

const FILE = 'generation_config.json';

const NUMBERS = {
  temperature: 'temperature',
  top_k: 'topK',
  top_p: 'topP',
  min_p: 'minP',
  repetition_penalty: 'repetitionPenalty',
  max_new_tokens: 'maxNewTokens',
} as const;

/** The folder's generation_config.json, or undefined where there is none. Throws `FormatError`. */
export async function loadGenerationConfig(dir: string, signal?: AbortSignal): Promise<JsonObject | undefined> {
  const text = await readTextFile(dir, FILE, signal);
  if (text === undefined) return undefined;
  try {
    const config: unknown = JSON.parse(text);
    if (!isJsonObject(config)) throw new TypeError('expected an object');
    return config;
  } catch (cause) {
    const reason = `not a generation config: ${(cause as Error).message}`;
    throw new FormatError({ file: join(dir, FILE), reason, cause });
  }
}

/** What the folder's generation_config.json recommends; without one, nothing. Throws `FormatError`. */
export async function loadGenerationDefaults(dir: string): Promise<GenerationDefaults> {
  return readGenerationDefaults((await loadGenerationConfig(dir)) ?? {});
}

/** Values of another type than a number count as absent, as null does: publishers write both. */
export function readGenerationDefaults(raw: unknown): GenerationDefaults {
  if (typeof raw !== 'object' || raw === null) throw new TypeError('expected an object');
  const config = raw as Record<string, unknown>;
  const defaults: Record<string, number | boolean> = {};
  for (const [key, name] of Object.entries(NUMBERS)) {
    const value = config[key];
    if (typeof value === 'number') defaults[name] = value;
  }
  if (typeof config.do_sample === 'boolean') defaults.doSample = config.do_sample;
  return defaults;
}
