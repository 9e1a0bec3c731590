import { AutoModel, type Span } from '@airllm/runtime';
import { count, readFolderAndOptions } from './arguments';
import { cpuSeconds, peakBytes } from './process-usage';
import { promptIds } from './prompt-ids';

export const usage = `bench batch-once <checkpoint> [--memory 4GB] [--sequences 64] [--prompt 32] [--new 32] [--threads N]`;

/** What one process that generates a batch measured of itself. */
export interface BatchFigures {
  /** From the first call to the last token. */
  readonly seconds: number;
  readonly newTokens: number;
  readonly passes: readonly PassFigures[];
  /** Bytes read from the drive in a pass that only decodes. */
  readonly bytesPerPass: number;
  readonly residentBytes: number;
  readonly weightBytes: number;
  readonly isa: string;
  readonly computeDtype: string;
  readonly rowLimit: { readonly rows: number; readonly chosen: string };
  readonly peakBytes: number;
  /** Of the first sequence. */
  readonly ids: readonly number[];
  readonly cpuSeconds: number;
}

export interface PassFigures {
  readonly rows: number;
  readonly seconds: number;
}

/** Generates greedily from made-up prompts, all at once, with keys and values in bf16; prints the figures as one JSON line. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    memory: undefined,
    sequences: '64',
    prompt: '32',
    new: '32',
    threads: undefined,
  });
  const sequences = count(values.sequences, 'sequences');
  const promptTokens = count(values.prompt, 'prompt');
  const newTokens = count(values.new, 'new');
  const passes: PassFigures[] = [];
  const observe = ({ track, start, end, rows = 0 }: Span) => {
    if (track === 'pass') passes.push({ rows, seconds: (end - start) / 1000 });
  };
  await using model = await AutoModel.fromPretrained(dir, {
    memory: values.memory,
    contextLength: promptTokens + newTokens,
    maxSequences: sequences,
    kvCacheDtype: 'bfloat16',
    computeDtype: 'auto',
    // One alone keeps more weights in memory instead of room for wide passes.
    ...(sequences === 1 ? { maxRows: Math.max(16, promptTokens) } : {}),
    // What batching brings is asked, not what guessing does.
    speculate: 'off',
    ...(values.threads === undefined ? {} : { threads: count(values.threads, 'threads') }),
    observe,
  });
  const requests = Array.from({ length: sequences }, (_, s) => ({
    ids: promptIds(promptTokens, s),
    maxNewTokens: newTokens,
    ignoreEos: true,
    doSample: false,
  }));
  const batch = model.generateBatch(requests);
  let ids: readonly number[] = [];
  for await (const { index, result, error } of batch) {
    if (error !== undefined) throw error;
    if (index === 0) ids = result!.ids;
  }
  const { bytes, streamedBytes } = model.info.plan;
  const figures: BatchFigures = {
    seconds: batch.stats.seconds,
    newTokens: batch.stats.newTokens,
    passes,
    bytesPerPass: streamedBytes,
    residentBytes: bytes.pinned + bytes.experts,
    weightBytes: bytes.weights,
    isa: model.info.isa,
    computeDtype: model.info.computeDtype,
    rowLimit: batch.stats.rowLimit,
    peakBytes: peakBytes(),
    ids,
    cpuSeconds: cpuSeconds(),
  };
  console.log(JSON.stringify(figures));
}
