import { BLOCK_POSITIONS, BlockPool } from '@airllm/kernels';
import { expect, test } from 'vitest';
import { buildModel } from '../models/registry';
import { stateBytes } from '../plan/state-bytes';
import { Sequence } from './sequence';

const WINDOW = BLOCK_POSITIONS;
const MOST_ROWS = 8;
const config = {
  model_type: 'mistral',
  hidden_size: 8,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  intermediate_size: 8,
  num_hidden_layers: 2,
  vocab_size: 10,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
  sliding_window: WINDOW,
};

test('rows of the last pass can be taken back, past a sliding window too, within the planned state', () => {
  const model = buildModel(config, { dtype: 'F32' });
  const planned = stateBytes(model, 1000, MOST_ROWS);
  using pool = new BlockPool({ limitBytes: planned });
  using sequence = new Sequence(model, pool);
  const first = () => sequence.states[0]![0]!.start;
  let length = 0;
  for (let pass = 0; pass < 100; pass++) {
    sequence.reserve(length + MOST_ROWS);
    sequence.advance(length + MOST_ROWS);
    // Between none and all of its rows are kept.
    const kept = pass % (MOST_ROWS + 1);
    sequence.truncate(length + kept);
    length += kept;
    expect(sequence.length).toBe(length);
    expect(first()).toBeLessThanOrEqual(Math.max(0, length - WINDOW + 1));
  }
  expect(first()).toBeGreaterThan(0);
});
