import { createExecutor } from '@airllm/kernels';
import { openCheckpoint, openReader } from '@airllm/loader';
import {
  buildModel,
  continuationRows,
  Engine,
  planResidency,
  type Sampling,
  sample,
  seededRandom,
} from '@airllm/runtime';

export interface ComposeOptions {
  readonly maxNewTokens: number;
  /** Bytes for pinned weights and the streaming ring. */
  readonly weightsMemory: number;
  readonly sampling: Sampling;
  readonly seed: number;
}

/**
 * The whole of a runtime, put together by hand: checkpoint, graphs, plan, engine, sampling. What `AutoModel` does, less
 * text, concurrency and errors for people.
 */
export async function* generateIds(
  dir: string,
  prompt: readonly number[],
  options: ComposeOptions,
): AsyncGenerator<number> {
  const checkpoint = await openCheckpoint(dir);
  const model = buildModel(checkpoint.config, checkpoint);
  const reader = await openReader();
  const executor = await createExecutor();
  const plan = planResidency(model, {
    weightsMemory: options.weightsMemory,
    contextLength: prompt.length + options.maxNewTokens,
    processBytes: 0,
    readAlignment: reader.alignment,
  });
  const engine = new Engine({ model, plan, executor, reader });
  const sequence = await engine.openSequence(prompt.length + options.maxNewTokens);
  const random = seededRandom(options.seed);
  const ids = [...prompt];
  try {
    for (let i = 0; i < options.maxNewTokens; i++) {
      const [logits] = await engine.step(continuationRows(sequence, ids, model.config));
      ids.push(sample(logits!, ids, options.sampling, random));
      yield ids.at(-1)!;
    }
  } finally {
    sequence.dispose();
    await engine.dispose();
    await executor.dispose();
    await reader.close();
  }
}
