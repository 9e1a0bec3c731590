import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OptionError } from '@airllm/loader';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AutoModel } from '../../auto/auto-model';
import type { LanguageModel } from '../../auto/language-model';
import { haveShared, shared } from '../../testing/shared';
import { textModel } from '../../testing/text-model';
import { GrammarError } from './errors';
import { Grammars } from './grammars';

let dir: string;
let model: LanguageModel;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'airllm structured #'));
  model = await AutoModel.fromPretrained(textModel(dir));
});
afterAll(async () => {
  await model.dispose();
  await rm(dir, { recursive: true });
});

const schema = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 8 },
    colour: { enum: ['rot', 'grün', 'blau'] },
    sizes: { type: 'array', items: { type: 'integer', minimum: 0, maximum: 99 }, minItems: 1, maxItems: 3 },
  },
  required: ['name', 'colour', 'sizes'],
} as const;

function expectMatch(text: string): void {
  const value = JSON.parse(text);
  expect(text).toMatch(/^\{"name": .*, "colour": ".*", "sizes": \[\d+(, \d+)*\]\}$/);
  expect(Object.keys(value)).toEqual(['name', 'colour', 'sizes']);
  expect([...value.name].length).toBeLessThanOrEqual(8);
  expect(schema.properties.colour.enum).toContain(value.colour);
  expect(value.sizes.length >= 1 && value.sizes.length <= 3).toBe(true);
  for (const size of value.sizes) expect(Number.isInteger(size) && size >= 0 && size <= 99).toBe(true);
}

test('a random model says what a schema allows, however its tokens are chosen', async () => {
  const request = { prompt: 'x', responseFormat: { type: 'json_schema', schema }, maxNewTokens: 200 } as const;
  for (const options of [{}, { temperature: 1.5, seed: 1 }, { temperature: 4, seed: 2, repetitionPenalty: 1.3 }]) {
    const { text, finishReason } = await model.generate({ ...request, ...options });
    expect(finishReason).not.toBe('length');
    expectMatch(text);
  }
});

test('several texts of one request each follow it, with what they would have said alone', async () => {
  const request = {
    prompt: 'x',
    responseFormat: { type: 'json_schema', schema },
    temperature: 2,
    maxNewTokens: 200,
  } as const;
  const { sequences } = await model.generate({ ...request, seed: 7, numReturnSequences: 4 });
  for (const [i, { text }] of sequences!.entries()) {
    expectMatch(text);
    expect(text).toBe((await model.generate({ ...request, seed: 7 + i })).text);
  }
});

test('a grammar', async () => {
  const grammar = 'root ::= ("yes" | "no") (", " ("sir" | "madam"))? "!"';
  const { text } = await model.generate({ prompt: 'x', responseFormat: { type: 'grammar', grammar }, seed: 3 });
  expect(text).toMatch(/^(yes|no)(, (sir|madam))?!$/);
});

test('more grammars than are kept, at once and again', async () => {
  const ask = async (i: number) => {
    const grammar = `root ::= "answer ${i}"`;
    const { text } = await model.generate({ prompt: 'x', responseFormat: { type: 'grammar', grammar } });
    expect(text).toBe(`answer ${i}`);
  };
  await Promise.all(Array.from({ length: 40 }, (_, i) => ask(i)));
  await ask(0);
});

test('any object, and any text', async () => {
  const options = { prompt: 'x', seed: 5, maxNewTokens: 30 };
  const { text } = await model.generate({ ...options, responseFormat: { type: 'json_object' } });
  expect(text).toMatch(/^\{["}]/);
  const free = await model.generate({ ...options, responseFormat: { type: 'text' } });
  expect(free.ids).toEqual((await model.generate(options)).ids);
});

test('the processor depends on the ids alone, in whatever order it is asked', async () => {
  const { tokenizer } = model;
  const { vocabSize } = model.engine.model.config;
  const endTokens = new Set([0]);
  const grammars = new Grammars({ tokenizer, endTokens, vocabSize });
  const constraint = await grammars.constrain(
    { type: 'grammar', grammar: 'root ::= [ab]* "c"' },
    {
      texts: 2,
      promptLength: 1,
    },
  );
  const allowed = (text: string) => {
    const scores = new Float32Array(vocabSize);
    constraint.process([99, ...tokenizer!.encode(text, { addSpecialTokens: false })], scores);
    return [...scores.keys()].filter((id) => scores[id] === 0).map((id) => tokenizer!.idToToken(id));
  };
  for (const text of ['', 'ab', 'aab', 'ba', '', 'abc', 'ab', 'aabb', 'bc', 'b']) {
    expect(allowed(text).sort(), text).toEqual(text.endsWith('c') ? ['<unk>'] : ['a', 'b', 'c']);
  }
  constraint.dispose();
});

test('without an end token a text ends when it is whole', async () => {
  const { tokenizer } = model;
  const { vocabSize } = model.engine.model.config;
  const grammars = new Grammars({ tokenizer, endTokens: new Set(), vocabSize });
  const constraint = await grammars.constrain(
    { type: 'grammar', grammar: 'root ::= "ab"' },
    { texts: 1, promptLength: 0 },
  );
  const ids = tokenizer!.encode('ab', { addSpecialTokens: false });
  expect([0, 1, 2].map((length) => constraint.isWhole(ids.slice(0, length)))).toEqual([false, false, true]);
  constraint.dispose();
});

describe('what cannot be followed is refused, and the next request is not affected', () => {
  test.each([
    ['a type nobody knows', { type: 'json_schema', schema: { type: 'nonsense' } }, /Unsupported type "nonsense"/],
    ['a reference elsewhere', { type: 'json_schema', schema: { $ref: 'http://x/y' } }, /URI/],
    ['a grammar that is none', { type: 'grammar', grammar: 'root ::= (' }, /EBNF/],
    ['a pattern that looks ahead', { type: 'json_schema', schema: { type: 'string', pattern: '(?=a)' } }, /Lookahead/],
  ] as const)('%s', async (_, responseFormat, reason) => {
    const error = await model.generate({ prompt: 'x', responseFormat }).catch((error) => error);
    expect(GrammarError.isInstance(error) && error.reason).toMatch(reason);
    const grammar = 'root ::= "good"';
    const { text } = await model.generate({ prompt: 'x', responseFormat: { type: 'grammar', grammar } });
    expect(text).toBe('good');
  });

  test.each([
    [{ responseFormat: { type: 'xml' } }, 'responseFormat'],
    [{ responseFormat: { type: 'json_schema', schema: 'x' } }, 'responseFormat'],
    [{ responseFormat: { type: 'json_object' }, ignoreEos: true }, 'ignoreEos'],
  ])('%j', async (options, option) => {
    const error = await model.generate({ prompt: 'x', ...(options as object) }).catch((error) => error);
    expect(OptionError.isInstance(error) && error.option).toBe(option);
  });
});

describe.skipIf(!haveShared())('trained models, with tokens of several characters', () => {
  test.each(['stories260K', 'minimind2-small'])('%s', async (name) => {
    await using model = await AutoModel.fromPretrained(shared(`models/${name}`));
    for (const seed of [1, 2]) {
      const { text, ids, finishReason } = await model.generate({
        prompt: 'Lily has a red ball. As JSON: ',
        responseFormat: { type: 'json_schema', schema },
        maxNewTokens: 200,
        seed,
      });
      expect(finishReason).toBe('eos');
      expectMatch(text);
      expect(ids.slice(0, -1).some((id) => model.tokenizer!.isSpecial(id))).toBe(false);
    }
  });
});
