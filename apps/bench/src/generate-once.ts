import { parseArgs } from 'node:util';
import { AutoModel, type Span } from '@airllm/runtime';
import { count, oneFolder } from './arguments';

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
  readonly weightBytes: number;
  readonly residentBytes: number;
  readonly peakBytes: number;
  readonly ids: readonly number[];
  /** Of the whole process. */
  readonly cpuSeconds: number;
}

/** When the first weights of a segment were asked for, and when the first token was there: milliseconds since the epoch. */
export interface StartFigures {
  readonly firstReadAt: number;
  readonly firstTokenAt: number;
}

/** Opens, generates greedily from made-up ids, prints the figures as one JSON line. */
export async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      memory: { type: 'string' },
      'weights-memory': { type: 'string' },
      prompt: { type: 'string', default: '16' },
      new: { type: 'string', default: '4' },
      threads: { type: 'string' },
      until: { type: 'string' },
    },
  });
  const dir = oneFolder(positionals, usage);
  const promptTokens = count(values.prompt, 'prompt');
  const newTokens = count(values.new, 'new');
  let firstReadAt = Number.POSITIVE_INFINITY;
  // Spans are told when they end, so of the reads that start together the first to end may not be the first.
  const observe = ({ track, start }: Span) => {
    if (track !== 'read' || start + performance.timeOrigin >= firstReadAt) return;
    firstReadAt = start + performance.timeOrigin;
    if (values.until === 'first-read') {
      console.log(JSON.stringify({ firstReadAt, firstTokenAt: Number.NaN, cpuSeconds: cpuSeconds() }));
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
  const ids = Array.from({ length: promptTokens }, (_, i) => (i * 7919 + 11) % 1000);
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
  const { bytesRead, waitMs, cpu } = now();
  const tokenSeconds = times.slice(1).map((time, i) => (time - times[i]!) / 1000);
  const { bytes } = model.info.plan;
  const figures: GenerateFigures = {
    firstTokenSeconds: times[0]! / 1000,
    tokenSeconds,
    bytesPerToken: (bytesRead - after.bytesRead) / tokenSeconds.length,
    cpuSecondsPerToken: (cpu - after.cpu) / tokenSeconds.length,
    waitShare: (waitMs - after.waitMs) / (times.at(-1)! - times[0]!),
    weightBytes: bytes.weights,
    residentBytes: bytes.pinned + bytes.experts,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    ids: generated,
    cpuSeconds: cpuSeconds(),
    firstReadAt,
    firstTokenAt: times[0]! + performance.timeOrigin,
  };
  console.log(JSON.stringify(figures));
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
