import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { AutoModel } from '../auto/auto-model';
import type { FromPretrainedOptions } from '../auto/from-pretrained-options';
import type { LanguageModel } from '../auto/language-model';
import { temporaryFolder } from '../testing/temporary';
import type { GenerateRequest } from './types';

const fixture = fileURLToPath(new URL('../../../../apps/conformance/fixtures/llama', import.meta.url));
const CONTEXT = 96;
/** Long enough for a prompt cache to be worth a file. */
const PROMPT = 40;
const NEW = 10;

/** What goes wrong with a call, after so many of its tokens. */
type Trouble = 'none' | 'processor' | 'criterion' | 'abort' | 'leave' | 'siblings';

interface Call {
  readonly trouble: Trouble;
  readonly after: number;
  readonly prompt: number;
  readonly cached: boolean;
}

const call: fc.Arbitrary<Call> = fc.record({
  trouble: fc.constantFrom('none', 'processor', 'criterion', 'abort', 'leave', 'siblings'),
  after: fc.integer({ min: 0, max: NEW - 2 }),
  prompt: fc.integer({ min: 0, max: 2 }),
  cached: fc.boolean(),
});

const requestOf = ({ prompt }: Call): GenerateRequest => ({
  ids: Array.from({ length: PROMPT }, (_, i) => (i * 37 + 11 * prompt) % 200),
  maxNewTokens: NEW,
  seed: prompt,
  topK: 30,
  ignoreEos: true,
});

async function open(options: FromPretrainedOptions): Promise<LanguageModel> {
  const model = await AutoModel.fromPretrained(fixture, { contextLength: CONTEXT, ...options });
  onTestFinished(() => model.dispose());
  return model;
}

/** Makes a call, its trouble included, and tells the ids it gave, if it was to give any. */
async function make(model: LanguageModel, { trouble, after, ...call }: Call, cache: string) {
  const reason = new Error(trouble);
  const length = PROMPT + after;
  const controller = new AbortController();
  const request = {
    ...requestOf({ trouble, after, ...call }),
    signal: controller.signal,
    ...(call.cached && { promptCache: cache }),
  };
  const fails = (ids: readonly number[]) => {
    if (ids.length > length) throw reason;
    return false;
  };
  switch (trouble) {
    case 'none':
      return (await model.generate(request)).ids;
    case 'processor':
      return refused(model.generate({ ...request, logitsProcessor: (ids) => void fails(ids) }), reason);
    case 'criterion':
      return refused(model.generate({ ...request, stoppingCriteria: fails }), reason);
    case 'siblings':
      return refused(model.generate({ ...request, numReturnSequences: 3, stoppingCriteria: fails }), reason);
    case 'abort': {
      const abort = (ids: readonly number[]) => {
        if (ids.length > length) controller.abort(reason);
        return false;
      };
      return refused(model.generate({ ...request, stoppingCriteria: abort }), reason);
    }
    case 'leave': {
      let tokens = 0;
      for await (const _ of model.stream(request)) if (tokens++ === after) return null;
      throw new Error('expected more tokens');
    }
  }
}

async function refused(call: Promise<unknown>, reason: Error): Promise<null> {
  await expect(call).rejects.toBe(reason);
  return null;
}

test.each<[string, FromPretrainedOptions]>([
  ['prompt lookup', {}],
  ['a draft model', { draftModel: fixture }],
])('with %s: calls in trouble harm no others, and all memory comes back', async (_, options) => {
  const alone = await open({ speculate: 'off' });
  const expected: (readonly number[])[] = [];
  for (const prompt of [0, 1, 2]) {
    const { ids } = await alone.generate(requestOf({ trouble: 'none', after: 0, prompt, cached: false }));
    expected.push(ids);
  }
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 2, maxLength: 6 }), async (calls) => {
      const model = await open(options);
      const cache = join(temporaryFolder(), 'prompts');
      const given = await Promise.all(calls.map((each) => make(model, each, cache)));
      for (const [i, ids] of given.entries()) if (ids !== null) expect(ids).toEqual(expected[calls[i]!.prompt]);
      // What was saved is what the tokens say, whoever saved it.
      const later: Call[] = [0, 1, 2].map((prompt) => ({ trouble: 'none', after: 0, prompt, cached: true }));
      for (const each of later) expect(await make(model, each, cache)).toEqual(expected[each.prompt]);
      const whole = await model.generate({ ids: [1, 5, 9], maxNewTokens: CONTEXT - 3, ignoreEos: true });
      expect(whole.ids).toHaveLength(CONTEXT - 3);
      await model.dispose();
    }),
    { numRuns: 4 },
  );
});
