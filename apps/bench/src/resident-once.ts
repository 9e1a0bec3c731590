import { AutoModel, type FromPretrainedOptions } from '@airllm/runtime';
import { count, readFolderAndOptions } from './arguments';
import { cpuSeconds } from './process-usage';
import { promptIds, SHORT_PROMPT } from './prompt-ids';

export const usage =
  'bench resident-once <checkpoint> [--prompt 512] [--new 32] [--repeat 2] [--threads N] [--compute-dtype float32]';

/** What an engine measured of itself with all weights in memory; ours and others' processes print the same. */
export interface ResidentFigures {
  /** Milliseconds since the epoch. */
  readonly firstTokenAt: number;
  /** Tokens of a prompt per second, each time. */
  readonly prefill: readonly number[];
  /** Tokens per second after the first, after a prompt of 16, each time. */
  readonly decode: readonly number[];
  /** The first greedy tokens: the same weights and prompt should give the same. */
  readonly ids: readonly number[];
  readonly cpuSeconds: number;
}

/** Generates with all weights resident: first token, decode, then prefill. Prints the figures as a line of JSON. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    prompt: '512',
    new: '32',
    repeat: '2',
    threads: undefined,
    'compute-dtype': undefined,
  });
  const [prompt, newTokens, repeat] = [
    count(values.prompt, 'prompt'),
    count(values.new, 'new'),
    count(values.repeat, 'repeat'),
  ];
  await using model = await AutoModel.fromPretrained(dir, {
    contextLength: Math.max(prompt, SHORT_PROMPT) + newTokens + 1,
    maxRows: prompt,
    // Whatever is no compute dtype is refused by the executor, which names those there are.
    computeDtype: values['compute-dtype'] as FromPretrainedOptions['computeDtype'],
    ...(values.threads === undefined ? {} : { threads: count(values.threads, 'threads') }),
  });
  const { bytes } = model.info.plan;
  if (bytes.pinned < bytes.weights * 0.9) throw new Error(`${dir}: the weights do not fit this machine's free memory`);
  const timed = async (ids: readonly number[], maxNewTokens: number) => {
    const times = [performance.now()];
    let out: readonly number[] = [];
    for await (const event of model.stream({ ids: [...ids], maxNewTokens, ignoreEos: true, doSample: false })) {
      if (event.type === 'finish') out = event.ids;
      else times.push(performance.now());
    }
    return { times, ids: out };
  };
  console.log(JSON.stringify(await measureResident(timed, { prompt, newTokens, repeat })));
}

/** Generates from ids and tells when it began and when each token was there, by `performance.now()`. */
export type TimedGeneration = (
  ids: readonly number[],
  newTokens: number,
) => Promise<{ readonly times: readonly number[]; readonly ids: readonly number[] }>;

/** The same for every engine: first token and decode from a short prompt, then prefill of long ones. */
export async function measureResident(
  generate: TimedGeneration,
  { prompt, newTokens, repeat }: { prompt: number; newTokens: number; repeat: number },
): Promise<ResidentFigures> {
  const decode: number[] = [];
  const prefill: number[] = [];
  const first = await generate(promptIds(SHORT_PROMPT), newTokens + 1);
  for (let i = 0; i < repeat; i++) {
    const { times } = i === 0 ? first : await generate(promptIds(SHORT_PROMPT, i), newTokens + 1);
    decode.push(newTokens / ((times.at(-1)! - times[1]!) / 1000));
    // A prompt never seen before: an engine may keep what it knows of the last one.
    const long = await generate(promptIds(prompt, 100 + i), 1);
    prefill.push(prompt / ((long.times[1]! - long.times[0]!) / 1000));
  }
  return {
    firstTokenAt: first.times[1]! + performance.timeOrigin,
    prefill,
    decode,
    ids: first.ids,
    cpuSeconds: cpuSeconds(),
  };
}
