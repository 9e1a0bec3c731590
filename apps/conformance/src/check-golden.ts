import { type Comparison, compareLogits, compareTokens, firstDifference } from './compare';
import { readExpected } from './expected';
import { type ModelOptions, openModel } from './open-model';

/** Absolute; both sides compute in float32 and differ only in the order of summation. */
const tolerance = 2e-4;

/**
 * Compares a checkpoint with `expected.safetensors`: the logits of every prompt position from one pass, then greedy
 * generation with the KV cache, its tokens and its logits.
 */
export async function checkGolden(dir: string, options: ModelOptions): Promise<Comparison[]> {
  const expected = await readExpected(dir);
  // Goldens may go beyond max_position_embeddings, where dynamic RoPE begins.
  const contextLength = expected.inputIds.length + expected.generated.length;
  const model = await openModel(dir, { ...options, contextLength });
  try {
    const logits = await model.logits(expected.inputIds);
    const { ids, logits: steps = [] } = await model.generate({
      ids: expected.inputIds,
      maxNewTokens: expected.generated.length,
      doSample: false,
      ignoreEos: true,
      returnLogits: true,
    });
    const { vocab, generated, generatedLogits } = expected;
    // The step that chose another token is the last to be compared: what follows belongs to another text.
    const differs = firstDifference(ids, generated);
    const comparable = differs === -1 ? generated.length : Math.min(differs + 1, generated.length);
    return [
      compareLogits('prompt logits', logits, expected.logits, vocab, tolerance),
      compareTokens(ids, generated),
      compareLogits(
        'greedy logits',
        rows(steps.slice(0, comparable), vocab),
        generatedLogits.subarray(0, comparable * vocab),
        vocab,
        tolerance,
      ),
    ];
  } finally {
    await model.dispose();
  }
}

function rows(steps: readonly Float32Array[], vocab: number): Float32Array {
  const all = new Float32Array(steps.length * vocab);
  for (const [index, step] of steps.entries()) all.set(step, index * vocab);
  return all;
}
