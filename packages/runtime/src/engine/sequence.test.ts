import { BLOCK_POSITIONS, BlockPool, createState } from '@airllm/kernels';
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

const model = buildModel(config, { dtype: 'F32' });

test.each([0, MOST_ROWS])('rows of the last pass can be taken back, past a window too (room for %i)', (maxRows) => {
  using pool = new BlockPool({ limitBytes: stateBytes(model, 1000, MOST_ROWS) });
  using sequence = new Sequence(emptyStates(pool), { maxRows });
  let length = 0;
  for (let pass = 0; pass < 100; pass++) {
    sequence.reserve(length + MOST_ROWS);
    sequence.advance(length + MOST_ROWS);
    // Between none and all of its rows are kept.
    const kept = pass % (MOST_ROWS + 1);
    sequence.truncate(length + kept);
    length += kept;
    expect(sequence.length).toBe(length);
  }
  expect(firstKept(sequence)).toBeGreaterThan(length - WINDOW - MOST_ROWS - BLOCK_POSITIONS);
});

test('what a window has room for keeps older positions, so that several narrow passes can be taken back', () => {
  using pool = new BlockPool({ limitBytes: stateBytes(model, 1000, MOST_ROWS) });
  using sequence = new Sequence(emptyStates(pool), { maxRows: MOST_ROWS });
  let length = 0;
  for (let round = 0; round < 100; round++) {
    for (let pass = 1; pass <= MOST_ROWS; pass++) {
      sequence.reserve(length + pass);
      sequence.advance(length + pass);
    }
    length += 1;
    sequence.truncate(length);
    expect(sequence.length).toBe(length);
  }
  expect(firstKept(sequence)).toBeGreaterThan(0);
});

function emptyStates(pool: BlockPool) {
  return model.layers.map(({ graph }) => graph.states.map((spec) => createState(pool, spec)));
}

function firstKept({ states }: Sequence): number {
  return states[0]![0]!.start;
}
