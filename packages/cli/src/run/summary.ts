import type { GenerateResult, LanguageModel } from '@airllm/runtime';
import { table } from '../output/table';
import { formatBytes, formatCount, formatSeconds, significant } from '../output/units';
import { peakMemory } from './answer';

/** What the person asked for; absent is what the machine has. */
interface Granted {
  readonly memory?: number;
  readonly weightsMemory?: number;
}

/** One line before the first token: what runs, on what, and where its weights are. */
export function planLine({ info }: LanguageModel, granted: Granted): string {
  const { plan } = info;
  const { bytes } = plan;
  const held = bytes.pinned + bytes.experts;
  const weights =
    plan.streamedBytes === 0
      ? `all ${formatBytes(bytes.weights)} of weights stay in memory`
      : `${formatBytes(held)} of ${formatBytes(bytes.weights)} of weights stay in memory, ` +
        `${formatBytes(plan.streamedBytes)} streamed per token`;
  const grant = grantOf(granted);
  return [
    `${info.modelType} ${formatCount(info.parameterCount)}`,
    `${info.executor} ${info.isa}, ${info.threads} ${info.threads === 1 ? 'thread' : 'threads'}`,
    `context ${info.contextLength}`,
    weights + (grant === '' ? '' : ` (${grant} granted)`),
  ].join(' · ');
}

/** What it took, in aligned lines. */
export function summary({ info }: LanguageModel, { stats, usage }: GenerateResult, granted: Granted): string {
  const { bytes, streamedBytes } = info.plan;
  const rate = stats.totalSeconds > 0 ? stats.bytesRead / stats.totalSeconds / 1e9 : 0;
  const experts = bytes.experts === 0 ? '' : `, ${formatBytes(bytes.experts)} expert slots`;
  return table([
    ['weights on disk', formatBytes(bytes.weights)],
    ['memory granted', grantOf(granted) || `no limit given; ${formatBytes(bytes.total)} planned`],
    ['peak used', `${formatBytes(peakMemory())} by the whole process`],
    ['pinned', `${formatBytes(bytes.pinned)}${experts}, ${formatBytes(bytes.ring)} ring`],
    ['streamed', `${formatBytes(streamedBytes)} per token`],
    ['first token', `${formatSeconds(stats.firstTokenSeconds)} for ${usage.promptTokens} prompt tokens`],
    [
      'after that',
      `${stats.tokensPerSecond.toFixed(2)} tokens/s (${usage.newTokens} tokens in ${formatSeconds(stats.totalSeconds)})`,
    ],
    ['read', `${formatBytes(stats.bytesRead)} at ${significant(rate)} GB/s (${info.reader})`],
  ]);
}

function grantOf({ memory, weightsMemory }: Granted): string {
  return [
    ...(memory === undefined ? [] : [formatBytes(memory)]),
    ...(weightsMemory === undefined ? [] : [`${formatBytes(weightsMemory)} for weights`]),
  ].join(', ');
}
