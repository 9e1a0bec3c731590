import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from '@airllm/loader';

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

const NUMBERS = {
  temperature: 'temperature',
  top_k: 'topK',
  top_p: 'topP',
  min_p: 'minP',
  repetition_penalty: 'repetitionPenalty',
  max_new_tokens: 'maxNewTokens',
} as const;

/** Reads the folder's generation_config.json; a folder without one recommends nothing. Throws `FormatError`. */
export async function loadGenerationDefaults(dir: string): Promise<GenerationDefaults> {
  const file = join(dir, 'generation_config.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  try {
    return readGenerationDefaults(JSON.parse(text));
  } catch (cause) {
    throw new FormatError({ file, reason: `not a generation config: ${(cause as Error).message}`, cause });
  }
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
