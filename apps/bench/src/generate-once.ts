import { AutoModel, type Span } from '@airllm/runtime';
import { count, readFolderAndOptions } from './arguments';
import { cpuSeconds, peakBytes } from './process-usage';
import { promptIds } from './prompt-ids';

export const usage = `bench generate-once <checkpoint> [--memory 4GB] [--weights-memory N] [--prompt 16] [--new 4] [--threads N]
                    [--until first-read]`;

/** What one process that generates measured of itself; the other benches run it in cgroups. */
export interface GenerateFigures extends StartFigures {
  /** From process start. */
  readonly firstTokenSeconds: number;
  /** Of each token after the first. */
  readonly tokenSeconds: readonly number[];
  /** Read from the drive for each token after the first. */
  readonly bytesPerToken: number;
  readonly cpuSecondsPerToken: number;
  /** Share of the time after the first token that was spent waiting for the drive. */
  readonly waitShare: number;
  /** Of the weights, what the page cache held and was first computed with there. */
  readonly mappedBytes: number;
  readonly weightBytes: number;
  readonly residentBytes: number;
  readonly peakBytes: number;
  readonly ids: readonly number[];
  /** Of the whole process. */
  readonly cpuSeconds: number;
}

/**
 * Milliseconds since the epoch: when everything was imported, the first weights of a segment were asked for, the model
 * was open, and the first token there.
 */
export interface StartFigures {
  readonly importedAt: number;
  readonly firstReadAt: number;
  readonly openedAt: number;
  readonly firstTokenAt: number;
}

/** Opens, generates greedily from made-up ids, prints the figures as one JSON line. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    memory: undefined,
    'weights-memory': undefined,
    prompt: '16',
    new: '4',
    threads: undefined,
    until: undefined,
  });
  const promptTokens = count(values.prompt, 'prompt');
  const newTokens = count(values.new, 'new');
  const importedAt = performance.now() + performance.timeOrigin;
  let firstReadAt = Number.POSITIVE_INFINITY;
  // Spans are told when they end, so of the reads that start together the first to end may not be the first.
  const observe = ({ track, start }: Span) => {
    if ((track !== 'read' && track !== 'map') || start + performance.timeOrigin >= firstReadAt) return;
    firstReadAt = start + performance.timeOrigin;
    if (values.until === 'first-read') {
      const start: StartFigures = { importedAt, firstReadAt, openedAt: Number.NaN, firstTokenAt: Number.NaN };
      console.log(JSON.stringify({ ...start, cpuSeconds: cpuSeconds() }));
      process.exit(0);
    }
  };
  await using model = await AutoModel.fromPretrained(dir, {
    memory: values.memory,
    weightsMemory: values['weights-memory'],
    contextLength: promptTokens + newTokens,
    maxRows: Math.max(16, promptTokens),
    ...(values.threads === undefined ? {} : { threads: count(values.threads, 'threads') }),
    observe,
  });
  const openedAt = performance.now() + performance.timeOrigin;
  const ids = promptIds(promptTokens);
  const times: number[] = [];
  let after = { bytesRead: 0, waitMs: 0, cpu: 0 };
  const now = () => ({ ...model.engine.stats, cpu: cpuSeconds() });
  let generated: readonly number[] = [];
  for await (const event of model.stream({ ids, maxNewTokens: newTokens, ignoreEos: true, doSample: false })) {
    if (event.type === 'finish') generated = event.ids;
    else {
      times.push(performance.now());
      if (times.length === 1) after = now();
    }
  }
  const { bytesRead, bytesMapped, waitMs, cpu } = now();
  const tokenSeconds = times.slice(1).map((time, i) => (time - times[i]!) / 1000);
  const { bytes } = model.info.plan;
  const figures: GenerateFigures = {
    firstTokenSeconds: times[0]! / 1000,
    tokenSeconds,
    bytesPerToken: (bytesRead - after.bytesRead) / tokenSeconds.length,
    cpuSecondsPerToken: (cpu - after.cpu) / tokenSeconds.length,
    waitShare: (waitMs - after.waitMs) / (times.at(-1)! - times[0]!),
    mappedBytes: bytesMapped,
    weightBytes: bytes.weights,
    residentBytes: bytes.pinned + bytes.experts,
    peakBytes: peakBytes(),
    ids: generated,
    cpuSeconds: cpuSeconds(),
    importedAt,
    firstReadAt,
    openedAt,
    firstTokenAt: times[0]! + performance.timeOrigin,
  };
  console.log(JSON.stringify(figures));
}
