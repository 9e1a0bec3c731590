import type { PlanSummary } from '@airllm/runtime';
import type { DownloadFacts } from '../model-files';
import { table } from '../output/table';
import { formatBytes, formatCount, formatExact, roomyMemory } from '../output/units';
import { type SpeedReport, speedRows } from './speed';

/** What `airllm estimate --json` prints; all sizes are bytes. */
export interface EstimateReport extends PlanSummary {
  readonly dir: string;
  readonly modelType: string;
  readonly parameters: number;
  /** What is to be downloaded first; null where nothing is. */
  readonly download: DownloadFacts | null;
  /** Of the copy that a conversion would write before the model can run. */
  readonly convertedBytes: number;
  /** Granted to the whole process. */
  readonly memory: number | undefined;
  /** Granted to weights alone. */
  readonly weightsMemory: number | undefined;
  readonly contextLength: number;
  /** How keys and values are kept. */
  readonly kvCacheDtype: string;
  readonly executor: string;
  readonly isa: string;
  readonly computeDtype: string;
  /** Null where nothing tells how fast the drive is. */
  readonly speed: SpeedReport | null;
}

/** The plan in aligned lines. */
export function estimateText(report: EstimateReport): string {
  const { segments, expertSlots, floor } = report;
  const slots = expertSlots.count * expertSlots.bytes;
  const experts: [string, string][] =
    expertSlots.parts === 0
      ? []
      : [
          [
            'experts',
            `${formatBytes(slots)} for ${formatExact(expertSlots.count)} of ${formatExact(expertSlots.parts)} parts`,
          ],
        ];
  return table([
    ['model', `${report.modelType}, ${formatCount(report.parameters)} parameters, ${formatBytes(report.weights)}`],
    ...downloadRows(report.download, report.convertedBytes),
    ['granted', granted(report)],
    [
      'pinned',
      `${formatBytes(report.pinned)} (${formatExact(segments.pinned)} of ${formatExact(segments.count)} segments)`,
    ],
    ['ring', `${formatBytes(report.ring)} (segments of up to ${formatBytes(segments.largest)})`],
    ...experts,
    ['state', stateText(report)],
    ['activations', `${formatBytes(report.activations)} (up to ${report.maxRows} tokens at once)`],
    ['process', `${formatBytes(report.process)} for Node, code and tokenizer`],
    ...(report.staging === 0
      ? []
      : [['uploads', `${formatBytes(report.staging)} on their way to the device`] as const]),
    ['total', formatBytes(report.total)],
    ...deviceRows(report.device),
    ['streamed', streamed(report)],
    ['least memory', `${formatBytes(floor.memory)} (--memory ${roomyMemory(floor.memory)})`],
    ['least weights', `${formatBytes(floor.weightsMemory)} (--weights-memory ${floor.weightsMemory})`],
    ...speedRows(report.speed),
  ]);
}

/** What a device computes, and what that takes there. */
export function deviceRows(device: PlanSummary['device']): [string, string][] {
  if (device === null) return [];
  const { blocks, segments, weights, state, activations, staging, total, limit } = device;
  const computed = blocks.computed.includes(blocks.count - 1) ? 'head and ' : '';
  const layers = blocks.computed.filter((block) => block < blocks.count - 1).length;
  return [
    ['device', `${device.name}: computes ${computed}${layers} of ${blocks.count - 1} layers`],
    [
      '  stays there',
      segments.resident === segments.count
        ? 'all of it'
        : `${formatExact(segments.resident)} of ${formatExact(segments.count)} segments, ${uploaded(device)} per token`,
    ],
    [
      '  its memory',
      `${formatBytes(total)} of ${formatBytes(limit)}: ${formatBytes(weights)} weights, ${formatBytes(state)} state, ` +
        `${formatBytes(activations)} activations, ${formatBytes(staging)} uploads`,
    ],
  ];
}

function uploaded({ uploadedPerPass, uploadsExperts }: NonNullable<PlanSummary['device']>): string {
  const parts = [
    ...(uploadedPerPass === 0 ? [] : [formatBytes(uploadedPerPass)]),
    ...(uploadsExperts ? ['the experts chosen'] : []),
  ];
  return `${parts.join(' and ')} uploaded`;
}

/** What has to come, and whether there is room for it. */
export function downloadRows(download: DownloadFacts | null, convertedBytes = 0): [string, string][] {
  if (download === null) return [];
  const { files, total, bytes, free, read } = download;
  const here = total === bytes ? '' : `, of which ${formatBytes(total - bytes)} are here`;
  const copy = convertedBytes === 0 ? '' : `, ${formatBytes(convertedBytes)} of it for a conversion`;
  const needed = bytes + convertedBytes;
  const enough = needed <= free ? '' : `: ${formatBytes(needed - free)} too little`;
  return [
    ['download', `${formatBytes(total)} in ${files === 1 ? '1 file' : `${formatExact(files)} files`}${here}`],
    ['looked at', `${formatBytes(read)} of configuration and headers`],
    ['disk', `${formatBytes(needed)} needed${copy}, ${formatBytes(free)} free${enough}`],
  ];
}

function stateText({ state, diskState, contextLength, kvCacheDtype }: EstimateReport): string {
  const kept = kvCacheDtype === 'float32' ? '' : ` in ${kvCacheDtype}`;
  if (diskState !== null) {
    const onDisk = `up to ${formatBytes(diskState.bytes)} on disk at ${formatExact(contextLength)} positions${kept}`;
    return `${formatBytes(state)} for those on their way, ${onDisk}`;
  }
  return `${formatBytes(state)} at ${formatExact(contextLength)} positions${kept}`;
}

function granted({ memory, weightsMemory }: EstimateReport): string {
  const process = memory === undefined ? 'unlimited' : formatBytes(memory);
  return weightsMemory === undefined ? process : `${process}, ${formatBytes(weightsMemory)} of it for weights`;
}

function streamed({ streamedPerPass, streamedStatic }: EstimateReport): string {
  if (streamedPerPass === 0) return 'nothing: all weights stay in memory';
  const least = streamedStatic === streamedPerPass ? '' : `${formatBytes(streamedStatic)} to `;
  return `${least}${formatBytes(streamedPerPass)} per token`;
}
