import { openCheckpoint } from '@airllm/loader';
import {
  buildModel,
  measureMachine,
  type PassPrediction,
  passSpeeds,
  planResidency,
  predictPass,
  resolvePlanOptions,
  weightDType,
} from '@airllm/runtime';
import { count, readFolderAndOptions } from './arguments';
import { cpuSeconds } from './process-usage';

export const usage = 'bench predict-once <checkpoint> [--memory 4GB] [--prompt 16] [--new 4]';

/** What one process that only measures and plans expects of another that generates. */
export interface PredictFigures extends PassPrediction {
  readonly weightBytes: number;
  readonly residentBytes: number;
  /** The least memory that works. */
  readonly floorBytes: number;
  readonly diskBytesPerSecond: number;
  readonly dramBytesPerSecond: number;
  readonly cpuSeconds: number;
}

/** Predicts the seconds of a token with the options of generate-once, and prints them as one JSON line. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    memory: undefined,
    prompt: '16',
    new: '4',
  });
  const promptTokens = count(values.prompt, 'prompt');
  const contextLength = promptTokens + count(values.new, 'new');
  const checkpoint = await openCheckpoint(dir);
  const model = buildModel(checkpoint.config, checkpoint);
  const wanted = { memory: values.memory, contextLength, maxRows: Math.max(16, promptTokens) };
  // Before measuring, which makes the process larger.
  const plan = planResidency(model, await resolvePlanOptions(dir, model, wanted, 'direct'));
  const dtype = weightDType(model);
  const speeds = passSpeeds(await measureMachine({ dir, dtypes: [dtype] }), dtype);
  const figures: PredictFigures = {
    ...predictPass(plan, model, speeds, { positions: contextLength }),
    weightBytes: plan.bytes.weights,
    residentBytes: plan.bytes.pinned + plan.bytes.experts,
    floorBytes: plan.floor.memory,
    diskBytesPerSecond: speeds.diskBytesPerSecond,
    dramBytesPerSecond: speeds.dramBytesPerSecond,
    cpuSeconds: cpuSeconds(),
  };
  console.log(JSON.stringify(figures));
}
