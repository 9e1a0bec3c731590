import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { cpuSeconds } from '../../../../.ci/cpu-seconds';
import { planResidency } from '../plan/residency';
import { haveShared, shared, sharedFolders } from '../testing/shared';
import { architectureOf, buildModel } from './registry';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const json = (path: string) => JSON.parse(readFileSync(shared(path), 'utf8'));

/** A config without what says how its weights were compressed. */
function unquantised(folder: string): Record<string, unknown> {
  const { quantization_config, quantization, ...config } = json(`giants/${folder}/config.json`);
  return config;
}

describe.skipIf(!haveShared())('giants, from their configs alone', () => {
  const known = sharedFolders('giants').filter((name) => architectureOf(unquantised(name).model_type as string));

  test('the 405B models have the published number of parameters', () => {
    const { parameters } = json('giants/Llama-3.1-405B/expected.json');
    for (const name of ['Llama-3.1-405B', 'Llama-3.1-405B-Instruct-bnb-4bit']) {
      expect(buildModel(unquantised(name), { dtype: 'BF16' }).parameterCount).toBe(parameters);
    }
  });

  test.each([
    ['Llama-3.2-3B-Instruct', 3_212_749_824],
    ['Mixtral-8x7B-v0.1', 46_702_792_704],
    ['WizardLM-2-8x22B-mixtral', 140_620_634_112],
    ['lzlv_70b-llama2', 68_976_648_192],
    ['gpt-oss-20b', 20_914_757_184],
    ['qwen3-mlx', 1_720_574_976],
  ])('%s has %i parameters', (name, parameters) => {
    expect(buildModel(unquantised(name), { dtype: 'BF16' }).parameterCount).toBe(parameters);
  });

  test.each(known)('%s names exactly the tensors of its published index', (name) => {
    const index = (() => {
      try {
        return json(`giants/${name}/model.safetensors.index.json`);
      } catch {
        return undefined;
      }
    })();
    if (index === undefined) return;
    const names = new Set(buildModel(unquantised(name), { dtype: 'BF16' }).tensors.keys());
    const published = Object.keys(index.weight_map as Record<string, string>);
    // gpt-oss has all experts of a layer in one tensor of 4-bit blocks.
    const stacked = (tensor: string) => tensor.replace(/\.experts\.\d+\.(\w+)\.(weight|bias)$/, '.experts.$1_$2');
    for (const tensor of names) {
      const stored = stacked(tensor).replace(/_weight$/, '_blocks');
      expect(published.includes(tensor) || published.includes(stored), tensor).toBe(true);
    }
    const config = json(`giants/${name}/config.json`);
    if (config.quantization_config === undefined && config.quantization === undefined) {
      expect(published.filter((tensor) => !names.has(tensor) && !tensor.endsWith('rotary_emb.inv_freq'))).toEqual([]);
    }
  });

  test.each([
    ['Llama-3.1-405B', 8 * GIB],
    ['Llama-3.1-405B', 4 * GIB],
    ['lzlv_70b-llama2', 4 * GIB],
    ['Mixtral-8x7B-v0.1', 4 * GIB],
  ])('%s is planned within %i bytes, quickly', async (name, memory) => {
    const options = { memory, processBytes: 250 * MIB, contextLength: 2048, readAlignment: 4096 };
    const { result: plan, seconds } = await cpuSeconds(() =>
      planResidency(buildModel(unquantised(name), { dtype: 'BF16' }), options),
    );
    // Well under one on a slow core.
    expect(seconds).toBeLessThan(10);
    expect(plan.bytes.total).toBeLessThanOrEqual(memory);
    expect(plan.floor.memory - plan.bytes.process - plan.bytes.state).toBeLessThan(500 * MIB);
  });
});
