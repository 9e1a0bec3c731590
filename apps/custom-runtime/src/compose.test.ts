import { fileURLToPath } from 'node:url';
import { AutoModel } from '@airllm/runtime';
import { expect, test } from 'vitest';
import { generateIds } from './compose';

const fixture = (name: string) => fileURLToPath(new URL(`../../conformance/fixtures/${name}`, import.meta.url));

test.each(['llama', 'gemma3_text', 'mixtral'])(
  'the pieces put together by hand give %s the tokens of AutoModel',
  async (name) => {
    const prompt = [1, 5, 9, 33];
    await using model = await AutoModel.fromPretrained(fixture(name));
    const { ids } = await model.generate({ ids: prompt, maxNewTokens: 24, ignoreEos: true, doSample: false });
    const composed: number[] = [];
    const options = {
      maxNewTokens: 24,
      weightsMemory: 4e6,
      sampling: { method: 'greedy', repetitionPenalty: 1, temperature: 1, topK: 0, topP: 1, minP: 0 },
      seed: 0,
    } as const;
    for await (const id of generateIds(fixture(name), prompt, options)) composed.push(id);
    expect(composed).toEqual(ids);
  },
);
