import { existsSync, readFileSync } from 'node:fs';
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
  /** Quantised weights as float32, by the module's name in the checkpoint; empty for dense checkpoints. */
  readonly dequantised: ReadonlyMap<string, ExpectedWeight>;
  /** Of the logits, which tolerances of quantised checkpoints are measured in; null where the case does not say it. */
  readonly logitsStd: number | null;
}

export interface ExpectedWeight {
  readonly shape: readonly number[];
  readonly values: Float32Array;
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
  const dequantised = new Map<string, ExpectedWeight>();
  for (const [name, meta] of tensors) {
    if (!name.startsWith(DEQUANTISED)) continue;
    dequantised.set(name.slice(DEQUANTISED.length), { shape: meta.shape, values: await values(meta) });
  }
  return {
    inputIds: [...(await values(tensor('input_ids')))],
    logits: await values(logits),
    generated: [...(await values(tensor('generated')))],
    generatedLogits: await values(tensor('gen_logits')),
    vocab: logits.shape[1]!,
    dequantised,
    logitsStd: readLogitsStd(dir),
  };
}

const DEQUANTISED = 'dequant/';

function readLogitsStd(dir: string): number | null {
  const file = path.join(dir, 'case.json');
  if (!existsSync(file)) return null;
  const { logits_std: std } = JSON.parse(readFileSync(file, 'utf8')) as { logits_std?: unknown };
  return typeof std === 'number' ? std : null;
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
