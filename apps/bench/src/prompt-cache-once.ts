import { AutoModel } from '@airllm/runtime';
import { count, readFolderAndOptions, UsageError } from './arguments';
import { cpuSeconds, peakBytes } from './process-usage';
import { promptIds } from './prompt-ids';

export const usage = `bench prompt-cache-once <checkpoint> --file <file> [--memory 4GB] [--prompt 4096] [--question 32] [--new 4]
                        [--kv-cache-dtype bfloat16]`;

/** What one process that asks two questions about a document measured of itself. */
export interface PromptCacheFigures {
  /** From the call to the first token: of a question before, of the first, of the second one. */
  readonly warmUpSeconds: number;
  readonly firstSeconds: number;
  readonly secondSeconds: number;
  /** Of one pass that generates a token behind all of it. */
  readonly passSeconds: number;
  readonly cachedTokens: number;
  readonly promptTokens: number;
  readonly streamedBytes: number;
  /** What the second question generates without the file is the same. */
  readonly same: boolean;
  readonly peakBytes: number;
  readonly cpuSeconds: number;
}

export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    file: undefined,
    memory: undefined,
    prompt: '4096',
    question: '32',
    new: '4',
    'kv-cache-dtype': 'bfloat16',
    compare: false,
  });
  const { file } = values;
  if (file === undefined) throw new UsageError(usage, '--file is missing');
  const [document, question] = [count(values.prompt, 'prompt'), count(values.question, 'question')];
  const newTokens = Math.max(2, count(values.new, 'new'));
  await using model = await AutoModel.fromPretrained(dir, {
    memory: values.memory,
    contextLength: document + question + newTokens,
    kvCacheDtype: values['kv-cache-dtype'] as 'float32',
  });
  const ask = async (ids: readonly number[], promptCache?: string) =>
    model.generate({ ids, maxNewTokens: newTokens, ignoreEos: true, doSample: false, promptCache });
  // What stays in memory is read, and is not the document's matter.
  const warmUp = await ask(promptIds(question, 3));
  const first = await ask([...promptIds(document), ...promptIds(question, 1)], file);
  const ids = [...promptIds(document), ...promptIds(question, 2)];
  const second = await ask(ids, file);
  const same = !values.compare || (await ask(ids)).ids.every((id, i) => id === second.ids[i]);
  const figures: PromptCacheFigures = {
    warmUpSeconds: warmUp.stats.firstTokenSeconds,
    firstSeconds: first.stats.firstTokenSeconds,
    secondSeconds: second.stats.firstTokenSeconds,
    passSeconds: 1 / second.stats.tokensPerSecond,
    cachedTokens: second.usage.cachedTokens ?? 0,
    promptTokens: second.usage.promptTokens,
    streamedBytes: model.info.plan.streamedBytes,
    same,
    peakBytes: peakBytes(),
    cpuSeconds: cpuSeconds(),
  };
  console.log(JSON.stringify(figures));
}
