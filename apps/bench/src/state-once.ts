import { BLOCK_POSITIONS } from '@airllm/kernels';
import { AutoModel, type LanguageModel, type Sequence } from '@airllm/runtime';
import { count, readFolderAndOptions, UsageError } from './arguments';
import { cpuSeconds, peakBytes } from './process-usage';

export const usage = `bench state-once <checkpoint> --context N [--memory 1GB] [--new 4] [--kv-cache-dtype float32] [--kv-cache-place disk]
                 [--kv-cache-dir <folder>]`;

/** What one process that decodes behind a long context measured of itself. */
export interface StateFigures {
  /** Of each token. */
  readonly tokenSeconds: readonly number[];
  /** Read for each token: weights, and keys and values. */
  readonly weightBytesPerToken: number;
  readonly stateBytesPerToken: number;
  readonly stateBytesWrittenPerToken: number;
  readonly place: 'memory' | 'disk';
  /** Of keys and values at that length, wherever they are. */
  readonly stateBytes: number;
  readonly residentBytes: number;
  readonly weightBytes: number;
  readonly waitShare: number;
  readonly peakBytes: number;
  readonly cpuSeconds: number;
}

/** Puts made-up keys and values in place of a prompt's, as the weights are made up, and generates behind them. */
export async function run(args: string[]): Promise<void> {
  const { dir, values } = readFolderAndOptions(args, usage, {
    memory: undefined,
    context: undefined,
    new: '4',
    'kv-cache-dtype': 'float32',
    'kv-cache-place': 'disk',
    'kv-cache-dir': undefined,
  });
  if (values.context === undefined) throw new UsageError(usage, '--context is missing');
  const context = count(values.context, 'context');
  const newTokens = count(values.new, 'new');
  const contextLength = context + newTokens + 1;
  await using model = await AutoModel.fromPretrained(dir, {
    memory: values.memory,
    contextLength,
    kvCacheDtype: values['kv-cache-dtype'] as 'float32',
    kvCachePlace: values['kv-cache-place'] as 'disk',
    kvCacheDir: values['kv-cache-dir'],
  });
  const { engine, info } = model;
  using sequence = await engine.openSequence(contextLength);
  await fill(model, sequence, context);
  const stateBytes = sequence.states.flat().reduce((sum, { byteLength }) => sum + byteLength, 0);
  const next = async () => {
    await engine.step([{ sequence, position: sequence.length, input: 7, wantsLogits: true }]);
  };
  // Reads what then stays in memory.
  await next();
  const before = engine.stats;
  const begin = performance.now();
  const tokenSeconds: number[] = [];
  for (let token = 0; token < newTokens; token++) {
    const start = performance.now();
    await next();
    tokenSeconds.push((performance.now() - start) / 1000);
  }
  const after = engine.stats;
  const each = (of: 'bytesRead' | 'stateBytesRead' | 'stateBytesWritten') => (after[of] - before[of]) / newTokens;
  const { bytes, diskState } = info.plan;
  const figures: StateFigures = {
    tokenSeconds,
    weightBytesPerToken: each('bytesRead'),
    stateBytesPerToken: each('stateBytesRead'),
    stateBytesWrittenPerToken: each('stateBytesWritten'),
    place: diskState === null ? 'memory' : 'disk',
    stateBytes,
    residentBytes: bytes.pinned + bytes.experts,
    weightBytes: bytes.weights,
    waitShare: (after.waitMs - before.waitMs) / (performance.now() - begin),
    peakBytes: peakBytes(),
    cpuSeconds: cpuSeconds(),
  };
  console.log(JSON.stringify(figures));
}

/** Small numbers in every dtype: bytes that are no NaN, and no infinity. */
async function fill({ engine }: LanguageModel, sequence: Sequence, length: number): Promise<void> {
  const end = Math.ceil(length / BLOCK_POSITIONS);
  for (const state of sequence.states.flat()) {
    const blocks = engine.stateBlocks(state);
    if (blocks === null) throw new Error('keys and values lie on a device');
    const bytes = Uint8Array.from({ length: blocks.blockBytes }, (_, i) => (i * 31) % 50);
    const window = state.spec.window === undefined ? length : state.spec.window + 1;
    const first = Math.floor(Math.max(0, length - window) / BLOCK_POSITIONS);
    blocks.place(first * BLOCK_POSITIONS, length);
    for (let at = first; at < end; at += blocks.staged) {
      const some = Math.min(blocks.staged, end - at);
      await blocks.put(
        at,
        Array.from({ length: some }, () => bytes),
      );
    }
    blocks.dispose();
  }
  sequence.advance(length);
}
