import path from 'node:path';
import { type MetaTensor, openSafetensors } from '@airllm/loader';

/** What transformers made of a checkpoint: `expected.safetensors`. */
export interface Expected {
  /** The prompt, [T]. */
  readonly inputIds: number[];
  /** [T, vocab], after every prompt position. */
  readonly logits: Float32Array;
  /** Greedy, with KV cache, [G]. */
  readonly generated: number[];
  /** [G, vocab], those each generated token was chosen from. */
  readonly generatedLogits: Float32Array;
  readonly vocab: number;
}

/** Reads `expected.safetensors`. Throws what the loader throws, and an error that names a tensor that is missing. */
export async function readExpected(dir: string): Promise<Expected> {
  const file = path.join(dir, 'expected.safetensors');
  const { tensors } = await openSafetensors(file);
  const tensor = (name: string): MetaTensor => {
    const found = tensors.get(name);
    if (found === undefined)
      throw new Error(`${file}: expected a tensor ${name}, found ${[...tensors.keys()].join(', ')}`);
    return found;
  };
  const logits = tensor('logits');
  return {
    inputIds: [...(await values(tensor('input_ids')))],
    logits: await values(logits),
    generated: [...(await values(tensor('generated')))],
    generatedLogits: await values(tensor('gen_logits')),
    vocab: logits.shape[1]!,
  };
}

// Token ids are far below 2^24, so float32 holds them exactly.
async function values(tensor: MetaTensor): Promise<Float32Array> {
  const host = await tensor.materialize();
  try {
    return host.toFloat32();
  } finally {
    host.dispose();
  }
}
