import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { KvCacheDType } from '@airllm/kernels';
import { OptionError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { stateBytes } from '../plan/state-bytes';
import { AutoModel } from './auto-model';
import type { FromPretrainedOptions } from './from-pretrained-options';

const fixtures = fileURLToPath(new URL('../../../../apps/conformance/fixtures/', import.meta.url));
const DTYPES: readonly KvCacheDType[] = ['float32', 'bfloat16', 'int8'];
/** Longer than a block of 32 positions, and with windows that move on. */
const PROMPT = Array.from({ length: 45 }, (_, i) => 3 + ((i * 37) % 250));

async function tokens(name: string, options: FromPretrainedOptions): Promise<readonly number[]> {
  await using model = await AutoModel.fromPretrained(fixtures + name, { contextLength: 128, ...options });
  const { ids } = await model.generate({ ids: PROMPT, maxNewTokens: 40, ignoreEos: true });
  return ids;
}

async function floorOf(name: string, options: FromPretrainedOptions): Promise<number> {
  await using model = await AutoModel.fromPretrained(fixtures + name, { contextLength: 128, ...options });
  return model.info.plan.floor.weightsMemory;
}

describe.each(DTYPES)('keys and values in %s', (kvCacheDtype) => {
  test.each(['llama', 'gemma3_text', 'gpt_oss'])('%s: the same tokens at every budget and pass width', async (name) => {
    const options = { kvCacheDtype, executor: 'native' } as const;
    const alone = await tokens(name, options);
    expect(await tokens(name, { ...options, maxRows: 7, threads: 3 })).toEqual(alone);
    const weightsMemory = await floorOf(name, options);
    expect(await tokens(name, { ...options, weightsMemory, maxRows: 16 })).toEqual(alone);
  });

  test('a model says so, and its plan counts what they take', async () => {
    await using model = await AutoModel.fromPretrained(`${fixtures}llama`, { contextLength: 128, kvCacheDtype });
    expect(model.info.kvCacheDtype).toBe(kvCacheDtype);
    // 3 layers, 2 key heads of 12; int8 with two scales of 4 bytes per head.
    const perPosition = { float32: 3 * 2 * 24 * 4, bfloat16: 3 * 2 * 24 * 2, int8: 3 * 2 * (24 + 8) };
    expect(model.info.plan.bytes.state).toBe(128 * perPosition[kvCacheDtype]);
  });
});

test('rounding of keys and values moves the logits of a real step, and not far', async () => {
  const all = await Promise.all(DTYPES.map((kvCacheDtype) => tokens('llama', { kvCacheDtype, executor: 'native' })));
  for (const ids of all) expect(ids).toHaveLength(40);
  // The first tokens lead by far; later ones may well differ.
  for (const ids of all) expect(ids.slice(0, 2)).toEqual(all[0]!.slice(0, 2));
});

test('states of a model of any size shrink with them', () => {
  const config = JSON.parse(readFileSync(`${fixtures}llama/config.json`, 'utf8'));
  const large = { ...config, num_hidden_layers: 126, num_attention_heads: 128, num_key_value_heads: 8, head_dim: 128 };
  const bytes = DTYPES.map((kvCacheDtype) =>
    stateBytes(AutoModel.fromConfig({ ...large, hidden_size: 16384 }, { kvCacheDtype }), 4096, 512),
  );
  expect(bytes[0]).toBe(2 * 4096 * 126 * 8 * 128 * 4);
  expect(bytes[1]).toBe(bytes[0]! / 2);
  expect(bytes[2]).toBe(2 * 4096 * 126 * 8 * (128 + 4));
});

test('another dtype is refused', async () => {
  const kvCacheDtype = 'int4' as KvCacheDType;
  const error = await AutoModel.fromPretrained(`${fixtures}llama`, { kvCacheDtype }).catch((reason) => reason);
  expect(OptionError.isInstance(error) && error.option).toBe('kvCacheDtype');
});
