import { readFileSync } from 'node:fs';
import type { LogitsOptions, LogprobsOptions, ResponseFormat, StructureOptions } from '@airllm/runtime';
import { UsageError } from '../errors';
import { type Covers, number, type Option, type OptionGroup } from './option';

const ids: Option<readonly number[]> = {
  name: 'ban',
  value: '<id>',
  help: 'Never generate the token of this id; may be given several times.',
  parse: (texts, flag) => texts.map((text) => id(text, flag)),
};

const biases: Option<ReadonlyMap<number, number>> = {
  value: '<id>=<x>',
  help: 'Add x to the logit of the token of this id; may be given several times.',
  parse: (texts, flag) =>
    new Map(
      texts.map((text) => {
        const [token, bias, ...rest] = text.split('=');
        const value = bias?.trim() ? Number(bias) : Number.NaN;
        if (Number.isNaN(value) || rest.length > 0) {
          throw new UsageError(`${flag}: expected <id>=<number>, found "${text}"`);
        }
        return [id(token!, flag), value] as const;
      }),
    ),
};

const format: Option<ResponseFormat> = {
  name: 'json-schema',
  value: '<file>',
  help: 'Answer in JSON that this JSON Schema allows. Needs the package @mlc-ai/web-xgrammar.',
  parse: (texts, flag) => {
    const file = texts.at(-1)!;
    try {
      return { type: 'json_schema', schema: JSON.parse(new TextDecoder().decode(readFileSync(file))) };
    } catch (error) {
      throw new UsageError(`${flag}: expected a file with a JSON Schema: ${file}: ${(error as Error).message}`);
    }
  },
};

const options = {
  logitBias: biases,
  bannedTokens: ids,
  responseFormat: format,
  topLogprobs: number({
    value: '<n>',
    help: 'With --json: log probabilities of each token and of the n most likely ones at its place.',
  }),
  badWordsIds: { declined: 'lists of lists of ids need JSON' },
  logitsProcessor: { declined: 'a function' },
} satisfies Covers<LogitsOptions & LogprobsOptions & StructureOptions>;

/** What is done to the scores of tokens, and what is told about them. */
export const logitsArgs: OptionGroup<typeof options> = { title: 'Tokens', options };

function id(text: string, flag: string): number {
  if (!/^\d+$/.test(text.trim())) throw new UsageError(`${flag}: expected the id of a token, found "${text}"`);
  return Number(text);
}
