import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { cpuSeconds } from '../../../../.ci/cpu-seconds';
import { airllm } from '../testing/fake-io';
import { haveShared, shared, sharedFolders } from '../testing/shared';
import { temporaryFolder } from '../testing/temporary';
import { tinyModel } from '../testing/tiny-model';

const inspected = async (...argv: string[]) => JSON.parse((await airllm(['inspect', ...argv, '--json'])).stdout);

/** By hand, from the fixture's config: vocabulary 301, width 40, 3 layers, 4 + 2 heads of 12, inner width 72. */
const LAYER = 40 * 4 * 12 * 2 + 40 * 2 * 12 * 2 + 3 * 40 * 72 + 2 * 40;
const PARAMETERS = 3 * LAYER + 2 * 301 * 40 + 40;

test('a model whose weights are here', async () => {
  const dir = tinyModel();
  expect(await inspected(dir, '--context', '100')).toMatchObject({
    dir,
    modelType: 'llama',
    known: true,
    layout: 'single',
    files: 1,
    parameters: { count: PARAMETERS, exact: true },
    weightBytes: { count: 4 * PARAMETERS, exact: true },
    dtypes: [{ dtype: 'F32', bytes: 4 * PARAMETERS }],
    layerBytes: [4 * LAYER, 4 * LAYER, 4 * LAYER],
    stateSize: { length: 100, bytes: 2 * 100 * 3 * 2 * 12 * 4, exact: true },
  });
  const { code, stdout, stderr } = await airllm(['inspect', dir]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^architecture +llama \(LlamaForCausalLM\)$/m);
  expect(stdout).toContain(PARAMETERS.toLocaleString('en-US'));
});

test('a model of which only config.json is here', async () => {
  const dir = tinyModel();
  rmSync(path.join(dir, 'model.safetensors'));
  expect(await inspected(dir)).toMatchObject({
    layout: 'absent',
    files: 0,
    parameters: { count: PARAMETERS, exact: true },
    weightBytes: { count: 4 * PARAMETERS, exact: true },
  });
});

test('pointers of Git LFS are no weights, but tell sizes', async () => {
  const dir = tinyModel({ config: { model_type: 'someday' } });
  rmSync(path.join(dir, 'model.safetensors'));
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 400000\n`;
  writeFileSync(path.join(dir, 'model-00001-of-00001.safetensors'), pointer);
  const index = { metadata: {}, weight_map: { x: 'model-00001-of-00001.safetensors' } };
  writeFileSync(path.join(dir, 'model.safetensors.index.json'), JSON.stringify(index));
  expect(await inspected(dir)).toMatchObject({ layout: 'absent', known: false, weightBytes: { count: 400_000 } });
});

test('an unknown model type is estimated, and marked', async () => {
  const dir = tinyModel({ config: { model_type: 'someday' } });
  const { stdout } = await airllm(['inspect', dir]);
  expect(stdout).toMatch(/^architecture +someday .*cannot be run/m);
  expect(stdout).toMatch(/^parameters +≈ /m);
});

test('a folder without config.json is refused', async () => {
  const dir = tinyModel();
  rmSync(path.join(dir, 'config.json'));
  expect(await airllm(['inspect', dir])).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('config.json'),
  });
});

test('weights that cannot be opened are the reason, where nothing else says what the model is', async () => {
  const dir = temporaryFolder();
  for (const name of ['a.gguf', 'b.gguf']) writeFileSync(path.join(dir, name), 'GGUF');
  expect(await airllm(['inspect', dir])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/several GGUF models.*a\.gguf, b\.gguf/),
  });
});

describe.skipIf(!haveShared())('giants', () => {
  test.each(sharedFolders('giants'))('%s, quickly', async (name) => {
    const dir = shared(`giants/${name}`);
    const { result: report, seconds } = await cpuSeconds(() => inspected(dir));
    // Well under one on a slow core.
    expect(seconds).toBeLessThan(10);
    expect(report.modelType).toBe(JSON.parse(readFileSync(`${dir}/config.json`, 'utf8')).model_type);
    expect(report.layerCount).toBeGreaterThan(1);
    expect(report.stateSize.bytes).toBeGreaterThan(0);
    if (name.startsWith('Llama-3.1-405B')) expect(report.parameters).toEqual({ count: 405_853_388_800, exact: true });
  });

  test('of a quantised one without its weights, matrices and layers are told', async () => {
    const report = await inspected(shared('giants/Llama-3.1-405B-Instruct-bnb-4bit'));
    expect(report.weightBytes).toEqual({ count: 215_611_795_040, exact: true });
    expect(report.dtypes.map(({ dtype, tensors }: { dtype: string; tensors: number }) => [dtype, tensors])).toEqual([
      ['4-bit codebook', 126 * 7],
      ['BF16', 255],
    ]);
    expect(new Set(report.layerBytes).size).toBe(1);
  });
});
