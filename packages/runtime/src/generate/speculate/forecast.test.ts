import { expect, test } from 'vitest';
import { buildModel } from '../../models/registry';
import { planResidency } from '../../plan/residency';
import { forecastDraft } from './forecast';

const GB = 1e9;
const llama = (layers: number) =>
  buildModel(
    {
      model_type: 'llama',
      hidden_size: 4096,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      intermediate_size: 14336,
      num_hidden_layers: layers,
      vocab_size: 32000,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 4096,
    },
    { dtype: 'BF16' },
  );
const model = llama(32);
const draftModel = llama(4);
const speeds = (diskBytesPerSecond: number) => ({
  diskBytesPerSecond,
  readSeconds: 1e-4,
  dramBytesPerSecond: 15 * GB,
  flopsPerSecond: 200 * GB,
  callSeconds: 2e-5,
  opSeconds: 2e-6,
});
const options = { processBytes: 0.2 * GB, contextLength: 512, readAlignment: 4096 };
const draft = { model: draftModel, plan: planResidency(draftModel, { ...options, processBytes: 0, maxRows: 128 }) };

function forecast(memory: number, disk: number, acceptance = 0.85) {
  const plain = planResidency(model, { ...options, memory });
  const { pinned, state, activations } = draft.plan.bytes;
  const speculating = planResidency(model, { ...options, memory, draft: { weights: pinned, state, activations } });
  return forecastDraft({ model, plain, speculating, draft, speeds: speeds(disk), acceptance, most: 15 });
}

test('beside a model that streams most of its weights, a draft model earns far more than it evicts', () => {
  const { gain, plainSeconds, passSeconds, tokensPerPass, drafted } = forecast(6 * GB, 0.6 * GB);
  expect(passSeconds).toBeGreaterThan(plainSeconds);
  expect(passSeconds).toBeLessThan(1.5 * plainSeconds);
  expect(drafted).toBeGreaterThan(6);
  expect(tokensPerPass).toBeGreaterThan(4);
  expect(gain).toBeGreaterThan(2.5);
});

test('where all weights fit without it and the drive is slow, it evicts more than it earns', () => {
  const memory = 1.01 * planResidency(model, options).bytes.total;
  expect(forecast(memory, 0.3 * GB).gain).toBeLessThan(1);
  expect(forecast(memory, 20 * GB).gain).toBeGreaterThan(1);
});

test('who is hardly ever right earns nothing', () => {
  expect(forecast(6 * GB, 0.6 * GB, 0.02).gain).toBeLessThan(1);
});
