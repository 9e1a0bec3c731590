import type { Model } from '@airllm/runtime';
import { checkWeights } from './check-weights';
import { type Comparison, compareLogits, compareTokens, firstDifference } from './compare';
import { readExpected } from './expected';
import { type ModelOptions, openModel } from './open-model';

/** Absolute; both sides compute in float32 and differ only in the order of summation. */
const absoluteTolerance = 2e-4;
/** Of quantised checkpoints, whose logits come in many sizes: a share of their standard deviation. */
const relativeTolerance = 1e-4;
/** Absolute, where a GPU computes: its products are sums in another order, of float16 where it stores that. */
const gpuTolerances = { float32: 2e-3, float16: 3e-2 };

/**
 * Compares a checkpoint with `expected.safetensors`: quantised weights one by one where they are given, the logits of
 * every prompt position from one pass, then greedy generation with the KV cache, its tokens and its logits.
 */
export async function checkGolden(dir: string, options: ModelOptions): Promise<Comparison[]> {
  const expected = await readExpected(dir);
  // Goldens may go beyond max_position_embeddings, where dynamic RoPE begins.
  const contextLength = expected.inputIds.length + expected.generated.length;
  const model = await openModel(dir, { ...options, contextLength });
  const exact = expected.logitsStd === null ? absoluteTolerance : relativeTolerance * expected.logitsStd;
  const tolerance = model.info.plan.device === null ? exact : Math.max(exact, gpuTolerance(model.engine.model));
  try {
    const weights = await checkWeights(model.engine.model, expected.dequantised);
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
      ...weights,
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

/** A GPU computes with what it stores: float16, but where weights are float32. */
function gpuTolerance({ tensors }: Model): number {
  const wide = [...tensors.values()].every((tensor) => 'dtype' in tensor && tensor.dtype === 'F32');
  return wide ? gpuTolerances.float32 : gpuTolerances.float16;
}

function rows(steps: readonly Float32Array[], vocab: number): Float32Array {
  const all = new Float32Array(steps.length * vocab);
  for (const [index, step] of steps.entries()) all.set(step, index * vocab);
  return all;
}
