import { type ModelDescription, needsConversion, stateBytesAt } from '@airllm/runtime';
import { downloadRows } from '../estimate/report';
import type { DownloadFacts, ModelFiles } from '../model-files';
import { table } from '../output/table';
import { formatBytes, formatCount, formatExact } from '../output/units';

/** What `airllm inspect --json` prints. */
export interface InspectReport extends ModelDescription {
  readonly dir: string;
  readonly architectures: readonly string[];
  /** How the weights lie: in one safetensors file, in shards, in layer files, in other formats, or not here. */
  readonly layout: 'single' | 'sharded' | 'layered' | 'pickle' | 'gguf' | 'absent';
  readonly files: number;
  readonly tensors: number | undefined;
  /** Bytes of the weights as published. */
  readonly storedBytes: number | null;
  /** Whether the stored layout cannot be computed with, so that it is rewritten once before it runs. */
  readonly needsConversion: boolean;
  /** What is to be downloaded; null where nothing is. */
  readonly download: DownloadFacts | null;
  /** Of the state at `length` positions. */
  readonly stateSize: { readonly length: number; readonly bytes: number; readonly exact: boolean } | undefined;
}

const DEFAULT_LENGTH = 4096;

/** What files and configuration say of a model. */
export function inspectReport(
  { dir, config, source, totalBytes, download }: ModelFiles,
  description: ModelDescription,
  contextLength?: number,
): InspectReport {
  const { state, maxPositions } = description;
  const length = contextLength ?? Math.min(maxPositions ?? DEFAULT_LENGTH, DEFAULT_LENGTH);
  return {
    dir,
    architectures: Array.isArray(config.architectures) ? config.architectures.map(String) : [],
    layout: layoutOf(source),
    files: source?.files.length ?? 0,
    tensors: source?.tensors.size,
    storedBytes: totalBytes,
    needsConversion: source !== null && needsConversion(source),
    download,
    ...description,
    stateSize: state && { length, bytes: stateBytesAt(state, length), exact: state.exact },
  };
}

function layoutOf(source: ModelFiles['source']): InspectReport['layout'] {
  if (source === null) return 'absent';
  if (source.kind === 'shards') return 'layered';
  if (source.kind !== 'safetensors') return source.kind;
  return source.files.length === 1 ? 'single' : 'sharded';
}

/** The report in aligned lines. */
export function inspectText(report: InspectReport): string {
  return table([
    ['architecture', architecture(report)],
    ['parameters', parameters(report.parameters)],
    ['weights', weights(report)],
    ...downloadRows(report.download),
    ...conversionRows(report),
    ['dtypes', dtypes(report)],
    ['layers', layers(report)],
    ['embedding', bytesOrUnknown(report.embeddingBytes)],
    ['head', bytesOrUnknown(report.headBytes)],
    ['made for', report.maxPositions === undefined ? '?' : `${formatExact(report.maxPositions)} positions`],
    ...stateRows(report),
  ]);
}

function architecture({ modelType, architectures, known, quantisation }: InspectReport): string {
  const classes = architectures.length === 0 ? '' : ` (${architectures.join(', ')})`;
  const packed = quantisation === undefined ? '' : `, quantised by ${quantisation}`;
  return `${modelType}${classes}${packed}${known ? '' : ', cannot be run by this version'}`;
}

function conversionRows({ needsConversion, storedBytes }: InspectReport): [string, string][] {
  if (!needsConversion) return [];
  const published = storedBytes === null ? '' : `, from ${formatBytes(storedBytes)} as published`;
  return [['', `after a conversion${published}: the first run makes it, or airllm shard`]];
}

function parameters(found: InspectReport['parameters']): string {
  if (found === undefined) return '?';
  return found.exact ? `${formatExact(found.count)} (${formatCount(found.count)})` : `≈ ${formatCount(found.count)}`;
}

function weights({ weightBytes, layout, files, tensors }: InspectReport): string {
  const bytes = weightBytes === undefined ? '?' : `${weightBytes.exact ? '' : '≈ '}${formatBytes(weightBytes.count)}`;
  if (layout === 'absent') return `${bytes}, not (all) here`;
  return `${bytes} in ${files} ${files === 1 ? 'file' : 'files'} (${layout}), ${formatExact(tensors ?? 0)} tensors`;
}

function dtypes({ dtypes }: InspectReport): string {
  if (dtypes.length === 0) return '?';
  return dtypes.map(({ dtype, tensors, bytes }) => `${dtype} ${formatBytes(bytes)} in ${tensors} tensors`).join(', ');
}

/** `28 of 201 MB`, or runs of layers that are alike: `0–2 of 95.1 MB, 3–59 of 1.31 GB`. */
function layers({ layerCount, layerBytes }: InspectReport): string {
  if (layerCount === undefined) return '?';
  if (layerBytes.length === 0) return String(layerCount);
  const runs: { first: number; last: number; bytes: number }[] = [];
  for (const [layer, bytes] of layerBytes.entries()) {
    const run = runs.at(-1);
    if (run?.bytes === bytes) run.last = layer;
    else runs.push({ first: layer, last: layer, bytes });
  }
  if (runs.length === 1) return `${layerCount} of ${formatBytes(runs[0]!.bytes)}`;
  const most = [...layerBytes].sort((a, b) => a - b);
  if (runs.length > 4) return `${layerCount} of ${formatBytes(most[0]!)} to ${formatBytes(most.at(-1)!)}`;
  const parts = runs.map(({ first, last, bytes }) => {
    return `${first === last ? first : `${first}–${last}`} of ${formatBytes(bytes)}`;
  });
  return `${layerCount}: ${parts.join(', ')}`;
}

function stateRows({ state, stateSize }: InspectReport): [string, string][] {
  if (state === undefined || stateSize === undefined) return [['state', '?']];
  const mark = stateSize.exact ? '' : '≈ ';
  const groups = state.groups.map(({ layers, window, bytesPerPosition }): [string, string] => {
    const until = window === undefined ? '' : `, up to ${formatExact(window)}`;
    return ['', `${layers} layers keep ${formatExact(bytesPerPosition)} bytes for every position${until}`];
  });
  return [
    ['state', `${mark}${formatBytes(stateSize.bytes)} at ${formatExact(stateSize.length)} positions`],
    ...groups,
    ['', '= 2 · length · layers · kv heads · head dim · 4 bytes'],
  ];
}

function bytesOrUnknown(bytes: number | undefined): string {
  return bytes === undefined ? '?' : formatBytes(bytes);
}
