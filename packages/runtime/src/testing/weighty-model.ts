import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensors } from '@airllm/loader';
import { buildModel } from '../models/registry';

/** A model whose weights outweigh a prompt's activations, as those of real models do. */
export const WEIGHTY_CONFIG = {
  model_type: 'mistral',
  vocab_size: 256,
  hidden_size: 64,
  intermediate_size: 512,
  num_hidden_layers: 5,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
};

/** Some tokens for it. */
export const WEIGHTY_PROMPT = Array.from({ length: 60 }, (_, i) => (i * 37 + 11) % 256);

/** Writes it as a checkpoint of made-up weights, the same every time. */
export async function writeWeightyModel(dir: string, dtype: 'F32' | 'BF16'): Promise<void> {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state;
  };
  const float = () => (next() / 2 ** 32 - 0.5) * 0.2;
  // A sign, exponents of 1/32 to 1/4, seven bits.
  const bits = () => ((next() >>> 31) << 15) | (0x3d00 + ((state >>> 16) & 0x1ff));
  const { tensors } = buildModel(WEIGHTY_CONFIG, { dtype });
  const written = [...tensors.values()].map(({ name, shape, elementCount: length }) => {
    const values = dtype === 'F32' ? Float32Array.from({ length }, float) : Uint16Array.from({ length }, bits);
    return { name, dtype, shape, data: new Uint8Array(values.buffer) };
  });
  await writeSafetensors(join(dir, 'model.safetensors'), written);
  writeFileSync(join(dir, 'config.json'), JSON.stringify(WEIGHTY_CONFIG));
}
