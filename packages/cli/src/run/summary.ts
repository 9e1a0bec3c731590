import { type GenerateResult, type LanguageModel, summarisePlan } from '@airllm/runtime';
import { deviceRows } from '../estimate/report';
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
  const { device, diskState } = summarisePlan(plan);
  const onDisk = diskState === null ? '' : `, up to ${formatBytes(diskState.bytes)} of it on disk`;
  const placed =
    device === null
      ? []
      : [
          `${device.name}: ${device.blocks.computed.length} of ${device.blocks.count} blocks in ${formatBytes(device.total)}`,
        ];
  return [
    `${info.modelType} ${formatCount(info.parameterCount)}`,
    `${info.executor} ${info.isa}, ${info.computeDtype}, ${info.threads} ${info.threads === 1 ? 'thread' : 'threads'}`,
    `context ${info.contextLength}${info.kvCacheDtype === 'float32' ? '' : ` in ${info.kvCacheDtype}`}${onDisk}`,
    ...placed,
    weights + (grant === '' ? '' : ` (${grant} granted)`),
  ].join(' · ');
}

/** What one answer or several took, in aligned lines. */
export async function summary(model: LanguageModel, results: readonly GenerateResult[], granted: Granted) {
  const { info } = model;
  const deviceMemory = await model.engine.deviceMemory();
  const { bytes, streamedBytes } = info.plan;
  const sum = (of: (result: GenerateResult) => number) => results.reduce((total, result) => total + of(result), 0);
  const seconds = sum(({ stats }) => stats.totalSeconds);
  const bytesRead = sum(({ stats }) => stats.bytesRead);
  const bytesCached = sum(({ stats }) => stats.bytesCached);
  const bytesMapped = sum(({ stats }) => stats.bytesMapped);
  const readSeconds = sum(({ stats }) => stats.readSeconds);
  const newTokens = sum(({ usage }) => usage.newTokens);
  const first = sum(({ stats }) => stats.firstTokenSeconds) / results.length;
  const promptTokens = Math.round(sum(({ usage }) => usage.promptTokens) / results.length);
  const cachedTokens = Math.round(sum(({ usage }) => usage.cachedTokens ?? 0) / results.length);
  const experts = bytes.experts === 0 ? '' : `, ${formatBytes(bytes.experts)} expert slots`;
  return table([
    ['weights on disk', formatBytes(bytes.weights)],
    ['memory granted', grantOf(granted) || `no limit given; ${formatBytes(bytes.total)} planned`],
    ['peak used', `${formatBytes(peakMemory())} by the whole process`],
    ['pinned', `${formatBytes(bytes.pinned)}${experts}, ${formatBytes(bytes.ring)} ring`],
    ...(bytes.draft === 0 ? [] : [['drafting', `${formatBytes(bytes.draft)}, all of it in memory`] as const]),
    ...deviceRows(summarisePlan(info.plan).device),
    ...(deviceMemory === null ? [] : [['  at most taken', formatBytes(deviceMemory.most)] as const]),
    ['streamed', `${formatBytes(streamedBytes)} per pass`],
    [
      results.length === 1 ? 'first token' : 'mean first token',
      `${formatSeconds(first)} for ${promptTokens} prompt tokens` +
        (cachedTokens === 0 ? '' : `, ${cachedTokens} of them from the prompt cache`),
    ],
    [
      'after that',
      `${tokensPerSecond(results).toFixed(2)} tokens/s (${newTokens} tokens in ${formatSeconds(seconds)})`,
    ],
    ...speculationRow(results),
    ['processor time', `${formatSeconds(cpuSeconds(results))} per token after the first`],
    [
      'read',
      `${formatBytes(bytesRead)} in ${formatSeconds(readSeconds)} of reading, that ahead of the first call included: ` +
        `${significant(readSeconds > 0 ? bytesRead / readSeconds / 1e9 : 0)} GB/s (${info.reader})` +
        (bytesCached === 0 ? '' : `, ${formatBytes(bytesCached)} of it from the page cache`) +
        (bytesMapped === 0 ? '' : `; ${formatBytes(bytesMapped)} were in the page cache and computed with there`),
    ],
  ]);
}

/** What guessing ahead did, where anything was guessed. */
function speculationRow(results: readonly GenerateResult[]): (readonly [string, string])[] {
  const sum = (of: (result: GenerateResult) => number) => results.reduce((total, result) => total + of(result), 0);
  const drafted = sum(({ stats }) => stats.speculation?.drafted ?? 0);
  if (drafted === 0) return [];
  const accepted = sum(({ stats }) => stats.speculation?.accepted ?? 0);
  const tokensPerPass = sum(({ usage }) => usage.newTokens) / sum(({ stats }) => stats.passes);
  const saved = sum(({ stats }) => stats.speculation?.savedSeconds ?? 0);
  return [
    [
      'speculation',
      `${tokensPerPass.toFixed(2)} tokens per pass: ${accepted} of ${drafted} guessed ones were right ` +
        `(${results[0]!.stats.speculation!.drafter}), which saved ${formatSeconds(Math.max(0, saved))}`,
    ],
  ];
}

/** After the first token of each answer. */
function tokensPerSecond(results: readonly GenerateResult[]): number {
  let tokens = 0;
  let seconds = 0;
  for (const { usage, stats } of results) {
    if (stats.tokensPerSecond === 0) continue;
    tokens += usage.newTokens - 1;
    seconds += (usage.newTokens - 1) / stats.tokensPerSecond;
  }
  return seconds > 0 ? tokens / seconds : 0;
}

/** Per token after the first of each answer. */
function cpuSeconds(results: readonly GenerateResult[]): number {
  let tokens = 0;
  let seconds = 0;
  for (const { usage, stats } of results) {
    tokens += usage.newTokens - 1;
    seconds += stats.cpuSecondsPerToken * (usage.newTokens - 1);
  }
  return tokens > 0 ? seconds / tokens : 0;
}

function grantOf({ memory, weightsMemory }: Granted): string {
  return [
    ...(memory === undefined ? [] : [formatBytes(memory)]),
    ...(weightsMemory === undefined ? [] : [`${formatBytes(weightsMemory)} for weights`]),
  ].join(', ');
}
