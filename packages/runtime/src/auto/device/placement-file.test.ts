import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FormatError } from '@airllm/loader';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { buildModel } from '../../models/registry';
import { planResidency } from '../../plan/residency';
import { placementOf, readPlacement, writePlacement } from './placement-file';

const config = (layers: number) => ({
  model_type: 'llama',
  hidden_size: 16,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  intermediate_size: 16,
  num_hidden_layers: layers,
  vocab_size: 20,
});
const model = buildModel(config(3), { dtype: 'BF16' });

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'airllm placement #'));
});
afterEach(() => rm(dir, { recursive: true }));

test('a placement is read as it was written', async () => {
  const file = join(dir, 'placement.json');
  expect(await readPlacement(file, model)).toBeNull();
  const device = {
    name: 'card',
    bytes: 1e9,
    blocks: [1, 3],
    uploadBytes: () => 10,
    mostUploadBytes: () => 10,
    stateBytes: () => 10,
    activationBytes: () => 10,
    transferBytes: () => ({ device: 0, host: 0 }),
  };
  const plan = planResidency(model, { processBytes: 0, contextLength: 10, readAlignment: 1, device });
  const placement = placementOf(plan, model, 'cuda');
  expect(placement).toEqual({
    version: 1,
    modelType: 'llama',
    blocks: 4,
    onDevice: [1, 3],
    segmentBytes: 64 * 2 ** 20,
    device: 'card',
    provider: 'cuda',
  });
  await writePlacement(file, placement);
  expect(await readPlacement(file, model)).toEqual(placement);
});

test.each([
  ['not JSON', '{"version": 1', 'not JSON'],
  ['of another kind', '{"version": 2}', 'not a placement'],
  ['null', 'null', 'not a placement'],
  [
    'with a block that is not there',
    JSON.stringify({
      version: 1,
      modelType: 'llama',
      blocks: 4,
      onDevice: [4],
      segmentBytes: null,
      device: 'x',
      provider: 'webgpu',
    }),
    'not a placement',
  ],
  [
    'of another model',
    JSON.stringify({
      version: 1,
      modelType: 'llama',
      blocks: 9,
      onDevice: [4],
      segmentBytes: null,
      device: 'x',
      provider: 'webgpu',
    }),
    'this model is llama of 4 blocks',
  ],
])('one that is %s is refused by its file', async (_, text, reason) => {
  const file = join(dir, 'placement.json');
  await writeFile(file, text);
  const error = await readPlacement(file, model).catch((thrown) => thrown);
  expect(FormatError.isInstance(error)).toBe(true);
  expect(error.message).toContain(file);
  expect(error.message).toContain(reason);
});
