import type { GenerateResult, LanguageModel } from '@airllm/runtime';

/** What a person wants to know after a run, in aligned lines. */
export function summary(model: LanguageModel, result: GenerateResult, peakBytes: number): string {
  const { plan, executor, isa, threads, reader } = model.info;
  const { bytes } = plan;
  const { stats, usage } = result;
  const pinned = bytes.pinned + bytes.experts;
  const rate = stats.readSeconds > 0 ? stats.bytesRead / 1e9 / stats.readSeconds : 0;
  const lines: [string, string][] = [
    ['weights on disk', size(bytes.weights)],
    ['memory granted to weights', `${size(pinned + bytes.ring)} (${size(pinned)} pinned, ${size(bytes.ring)} ring)`],
    ['streamed for every token', size(plan.streamedBytes)],
    ['peak of the whole process', size(peakBytes)],
    ['first token', `${stats.firstTokenSeconds.toFixed(2)} s for ${usage.promptTokens} prompt tokens`],
    ['after that', `${stats.tokensPerSecond.toFixed(1)} tokens/s (${usage.newTokens} tokens)`],
    ['read from disk', `${size(stats.bytesRead)} at ${rate.toFixed(2)} GB/s (${reader})`],
    ['computed by', `${executor} (${isa}, ${threads} threads)`],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

function size(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
