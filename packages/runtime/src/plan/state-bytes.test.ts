import { expect, test } from 'vitest';
import { buildModel } from '../models/registry';
import { stateBytes } from './state-bytes';

test('2 · length · layers · kv heads · head dim · 4, in blocks of 32 positions', () => {
  const model = buildModel({ model_type: 'llama', num_hidden_layers: 3, num_key_value_heads: 8 }, { dtype: 'BF16' });
  expect(stateBytes(model, 4096, 512)).toBe(2 * 4096 * 3 * 8 * 128 * 4);
  expect(stateBytes(model, 33, 512)).toBe(2 * 64 * 3 * 8 * 128 * 4);
  expect(stateBytes(model, 0, 512)).toBe(0);
});

test('a layer with a window keeps the window and the rows of a pass, never more than the context', () => {
  const config = { model_type: 'gemma3_text', num_hidden_layers: 6, sliding_window: 1024 };
  const model = buildModel(config, { dtype: 'BF16' });
  const perPosition = 2 * 4 * 256 * 4;
  // Five layers of six slide: 1024 positions, 64 rows, and a block begun at either end.
  expect(stateBytes(model, 65_536, 64)).toBe(perPosition * (65_536 + 5 * (1024 + 64 + 32)));
  expect(stateBytes(model, 512, 64)).toBe(perPosition * 6 * 512);
});
