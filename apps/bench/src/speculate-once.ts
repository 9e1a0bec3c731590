import { AutoModel, type FromPretrainedOptions, type GenerateResult } from '@airllm/runtime';
import { count, readFolderAndOptions, UsageError } from './arguments';
import { cpuSeconds } from './process-usage';

export const usage =
  'bench speculate-once <model> [--speculate off] [--memory N] [--context 512] [--prompts 2] [--new 40] [--cache-dir folder]';

/** Questions that people ask; the answers are the model's own. */
export const CHATS = [
  'What is the capital of France, and what is it known for?',
  'Explain in simple words how a bicycle stays upright.',
  'Write a short story about a lighthouse keeper and a lost dog.',
  'How do I make pancakes? Give me the steps.',
  'Write a Python function that reverses a string, and explain it.',
  'What should I look for when I buy a used car?',
];

/** What answers took in one process. */
export interface SpeculateFigures {
  readonly answers: readonly {
    /** From the call to its end. */
    readonly seconds: number;
    readonly stats: GenerateResult['stats'];
    readonly ids: readonly number[];
  }[];
  readonly residentBytes: number;
  readonly streamedBytes: number;
  readonly draftBytes: number;
  readonly weightBytes: number;
  readonly drafter: string | null;
  readonly warnings: readonly string[];
  readonly cpuSeconds: number;
}

/** Answers chat prompts greedily, one after the other, and prints the figures as one JSON line. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    speculate: 'off',
    memory: undefined,
    context: '512',
    prompts: '2',
    new: '40',
    'cache-dir': undefined,
  });
  const prompts = count(values.prompts, 'prompts');
  if (prompts > CHATS.length) throw new UsageError(usage, `there are ${CHATS.length} prompts`);
  const warnings: string[] = [];
  await using model = await AutoModel.fromPretrained(dir, {
    memory: values.memory,
    contextLength: count(values.context, 'context'),
    // Whatever is none is refused by name.
    speculate: values.speculate as FromPretrainedOptions['speculate'],
    cacheDir: values['cache-dir'],
    onWarning: (message) => warnings.push(message),
  });
  const answers = [];
  for (const content of CHATS.slice(0, prompts)) {
    const messages = [{ role: 'user', content }];
    const start = performance.now();
    const maxNewTokens = count(values.new, 'new');
    const { ids, stats } = await model.generate({ messages, maxNewTokens, ignoreEos: true, doSample: false });
    answers.push({ seconds: (performance.now() - start) / 1000, stats, ids });
  }
  const { plan, drafter } = model.info;
  const figures: SpeculateFigures = {
    answers,
    residentBytes: plan.bytes.pinned,
    streamedBytes: plan.streamedBytes,
    draftBytes: plan.bytes.draft,
    weightBytes: plan.bytes.weights,
    drafter,
    warnings,
    cpuSeconds: cpuSeconds(),
  };
  console.log(JSON.stringify(figures));
}
