import { rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { airllm } from '../testing/fake-io';
import { haveShared, shared } from '../testing/shared';
import { tinyModel } from '../testing/tiny-model';

const estimated = async (...argv: string[]) => JSON.parse((await airllm(['estimate', ...argv, '--json'])).stdout);

test('the plan is the one that runs', async () => {
  const dir = tinyModel();
  const options = ['--weights-memory', '160KB', '--context', '128'];
  const { plan } = JSON.parse(
    (await airllm(['run', dir, 'x', '-q', '--json', '--max-new-tokens', '1', ...options])).stdout,
  );
  const estimate = await estimated(dir, ...options);
  const { process: _, total: __, floor, ...same } = plan;
  expect(estimate).toMatchObject({ ...same, contextLength: 128, weightsMemory: 160_000 });
  expect(estimate.floor.weightsMemory).toBe(floor.weightsMemory);
  expect(estimate.total).toBe(
    estimate.pinned + estimate.ring + estimate.state + estimate.activations + estimate.process,
  );
});

test('in words, with the least that works', async () => {
  const { code, stdout, stderr } = await airllm(['estimate', tinyModel(), '--memory', '2GB']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^granted +2\.00 GB$/m);
  for (const name of ['pinned', 'ring', 'state', 'activations', 'process', 'total', 'streamed']) {
    expect(stdout).toMatch(new RegExp(`^${name} +\\S`, 'm'));
  }
  expect(stdout).toMatch(/^least memory .*--memory \d+MB\)$/m);
});

test('keys and values in other dtypes take less, in the plan and in the run', async () => {
  const dir = tinyModel();
  const { state } = await estimated(dir, '--context', '128');
  const half = await estimated(dir, '--context', '128', '--kv-cache-dtype', 'bfloat16');
  expect(half).toMatchObject({ state: state / 2, kvCacheDtype: 'bfloat16' });
  const options = ['--context', '128', '--kv-cache-dtype', 'int8'];
  const { stdout } = await airllm(['estimate', dir, ...options]);
  expect(stdout).toMatch(/^state .* at 128 positions in int8$/m);
  const run = await airllm(['run', dir, 'x', '-q', '--json', '--max-new-tokens', '1', ...options]);
  expect(JSON.parse(run.stdout).plan.state).toBe((await estimated(dir, ...options)).state);
});

test('a memory below the floor is refused with the floor, which works', async () => {
  const dir = tinyModel();
  const { code, stdout, stderr } = await airllm(['estimate', dir, '--memory', '10MB']);
  expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  const least = /try --memory (\d+MB), or less --context\n$/.exec(stderr)?.[1];
  expect((await airllm(['estimate', dir, '--memory', least!])).code).toBe(0);
});

test('config.json is enough', async () => {
  const dir = tinyModel();
  const { parameters, state, activations, maxRows } = await estimated(dir, '--weights-memory', '160KB');
  rmSync(path.join(dir, 'model.safetensors'));
  const alone = await estimated(dir, '--weights-memory', '160KB');
  expect(alone).toMatchObject({ parameters, state, activations, maxRows });
  expect(alone.weights).toBeGreaterThanOrEqual(4 * parameters);
});

test('a model type that cannot be run cannot be planned', async () => {
  const { code, stderr } = await airllm(['estimate', tinyModel({ config: { model_type: 'someday' } })]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^error: config\.json: model_type is "someday"/);
});

describe.skipIf(!haveShared())('giants', () => {
  test.each([
    ['Llama-3.1-405B', '8GB'],
    ['Mixtral-8x7B-v0.1', '4GB'],
    ['Llama-3.1-405B-Instruct-bnb-4bit', '8GB'],
    ['Llama-3.1-405B-Instruct-bnb-4bit', '4GB', '2048'],
  ])('%s in %s', async (name, memory, context = '4096') => {
    const plan = await estimated(shared(`giants/${name}`), '--memory', memory, '--context', context);
    expect(plan.total).toBeLessThanOrEqual(plan.memory);
    expect(plan.streamedPerPass).toBeGreaterThan(0);
    expect(plan.pinned + plan.streamedPerPass).toBe(plan.weights);
  });

  test('quantised matrices are planned as they are stored', async () => {
    const [plain, packed] = await Promise.all(
      ['Llama-3.1-405B', 'Llama-3.1-405B-Instruct-bnb-4bit'].map((name) =>
        estimated(shared(`giants/${name}`), '--memory', '8GB', '--no-measure'),
      ),
    );
    expect(packed.parameters).toBe(plain.parameters);
    // A nibble, a byte per 64 weights, and a float32 per 256 of these; head and norms in bfloat16.
    const quantised = 126 * 16_384 * (2 * 16_384 + 2 * 1024 + 3 * 53_248);
    const dense = 2 * 16_384 * (128_256 + 2 * 126 + 1);
    const stored = quantised * (1 / 2 + 1 / 64 + 4 / 64 / 256) + dense;
    expect(packed.weights).toBeGreaterThanOrEqual(stored);
    // The float32 numbers of down_proj, whose rows share them, come with every slice.
    expect(packed.weights).toBeLessThan(1.002 * stored);
    expect(packed.streamedPerPass).toBeLessThan(0.27 * plain.streamedPerPass);
  });
});
