import { TokenizerError } from '../errors';
import { isJsonObject, type JsonObject } from '../json-file';
import type { Vocabulary } from './vocabulary';

/** Token ids put around a text. */
export interface Surround {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

const NOTHING: Surround = { prefix: [], suffix: [] };

/**
 * What the `post_processor` of a tokenizer.json puts around a single text.
 *
 * @throws TokenizerError where it is not implemented or names an unknown token.
 */
export function readPostProcessor(config: unknown, vocab: Vocabulary, file: string): Surround {
  if (config === null || config === undefined) return NOTHING;
  const options = isJsonObject(config) ? config : {};
  switch (options.type) {
    case 'ByteLevel':
      // Concerns offsets only.
      return NOTHING;
    case 'Sequence':
      return (options.processors as unknown[])
        .map((part) => readPostProcessor(part, vocab, file))
        .reduce(
          (inner, outer) => ({
            prefix: [...outer.prefix, ...inner.prefix],
            suffix: [...inner.suffix, ...outer.suffix],
          }),
          NOTHING,
        );
    case 'TemplateProcessing':
      return template(options, vocab, file);
    case 'BertProcessing':
    case 'RobertaProcessing':
      return { prefix: [pairId(options.cls, file)], suffix: [pairId(options.sep, file)] };
  }
  const reason = `'${String(options.type)}' is not implemented`;
  throw new TokenizerError({ file, field: 'post_processor.type', reason });
}

function template(options: JsonObject, vocab: Vocabulary, file: string): Surround {
  const prefix: number[] = [];
  const suffix: number[] = [];
  let before = true;
  for (const item of options.single as JsonObject[]) {
    if (isJsonObject(item.Sequence)) before = false;
    else if (isJsonObject(item.SpecialToken)) {
      const name = String(item.SpecialToken.id);
      const known = (options.special_tokens as Record<string, { ids?: number[] }> | undefined)?.[name]?.ids;
      const ids = known ?? [vocab.id(name)];
      if (ids.includes(undefined as never)) {
        throw new TokenizerError({ file, field: 'post_processor', reason: `unknown special token '${name}'` });
      }
      (before ? prefix : suffix).push(...(ids as number[]));
    }
  }
  return { prefix, suffix };
}

/** Bert and Roberta name their tokens as `[text, id]`. */
function pairId(pair: unknown, file: string): number {
  if (Array.isArray(pair) && typeof pair[1] === 'number') return pair[1];
  throw new TokenizerError({ file, field: 'post_processor', reason: 'expected [token, id]' });
}

/** Explicit add_bos_token and add_eos_token of tokenizer_config.json win over the post processor. */
export function withExplicitEnds(
  surround: Surround,
  config: JsonObject,
  ids: { bos: number | undefined; eos: number | undefined },
): Surround {
  let { prefix, suffix } = surround;
  if (typeof config.add_bos_token === 'boolean' && ids.bos !== undefined) {
    const rest = prefix[0] === ids.bos ? prefix.slice(1) : prefix;
    prefix = config.add_bos_token ? [ids.bos, ...rest] : rest;
  }
  if (typeof config.add_eos_token === 'boolean' && ids.eos !== undefined) {
    const rest = suffix.at(-1) === ids.eos ? suffix.slice(0, -1) : suffix;
    suffix = config.add_eos_token ? [...rest, ids.eos] : rest;
  }
  return { prefix, suffix };
}
