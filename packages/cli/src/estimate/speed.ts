import type { Executor } from '@airllm/kernels';
import {
  type DriveSpeed,
  type Model,
  measureMachine,
  type PassPrediction,
  type PassSpeeds,
  type Plan,
  passSpeeds,
  predictPass,
  weightDType,
} from '@airllm/runtime';
import { formatBytes, significant } from '../output/units';

/** Seconds to be expected, and from which speeds. */
export interface SpeedReport {
  /** What the machine does per second; a number that is not finite counted as no limit. */
  readonly speeds: PassSpeeds;
  /** Of a token, one after the other. */
  readonly token: PassPrediction;
  /** The same at the end of the context, where keys and values are on disk; null where they are in memory. */
  readonly lastToken: PassPrediction | null;
  /** Of the first pass, with a short prompt, which also reads the weights that will stay. */
  readonly first: PassPrediction;
}

/** Rows of a short prompt. */
const PROMPT = 16;
/** Past the first tokens, but before keys and values begin to count. */
const POSITIONS = PROMPT;
/** Less than this tells nothing of a drive, and stays in the caches. */
const LEAST_WEIGHTS = 64 * 2 ** 20;

/** What a plan's tokens will take on a machine of these speeds. */
export function speedOf(plan: Plan, model: Model, speeds: PassSpeeds): SpeedReport {
  const { diskState } = plan;
  return {
    speeds,
    token: predictPass(plan, model, speeds, { positions: POSITIONS }),
    lastToken: diskState && predictPass(plan, model, speeds, { positions: diskState.positions }),
    first: predictPass(plan, model, speeds, { rows: PROMPT, positions: POSITIONS, first: true }),
  };
}

interface EstimateSpeedOptions {
  readonly plan: Plan;
  readonly model: Model;
  /** Where the weights are; undefined where they are not here. */
  readonly dir?: string | undefined;
  /** Whether a file may be written there to measure by. */
  readonly writeTemporary?: boolean | undefined;
  readonly executor: Executor;
  /** What computes on a device, where the plan has one. */
  readonly device: Executor | undefined;
  readonly reader: string;
  /** Bytes per second, instead of measuring. */
  readonly disk?: number | undefined;
  readonly skipMeasuring?: boolean | undefined;
  readonly signal: AbortSignal;
}

/**
 * Predicts from a quick measurement of this machine. Null where nothing tells how fast the drive is: the weights are not
 * here or too small to measure by, and no speed was given.
 */
export async function estimateSpeed(options: EstimateSpeedOptions): Promise<SpeedReport | null> {
  const { plan, model, executor, device, reader, disk, writeTemporary, signal } = options;
  if (options.skipMeasuring) return disk === undefined ? null : speedOf(plan, model, diskAlone(disk));
  const dir = plan.bytes.weights < LEAST_WEIGHTS ? undefined : options.dir;
  if (disk === undefined && dir === undefined) return null;
  const dtype = weightDType(model);
  const measured = { executor, device: plan.device === null ? undefined : device, dtypes: [dtype], signal };
  const machine = await measureMachine({ ...(disk === undefined ? { dir, writeTemporary } : {}), ...measured });
  const rate = disk ?? driveRate(machine.drive, reader);
  return rate === undefined ? null : speedOf(plan, model, passSpeeds(machine, dtype, rate));
}

/** Bytes per second that weights will be read at, as the options of `airllm run` say. */
export function driveRate(drive: DriveSpeed | null, reader: string): number | undefined {
  return (reader === 'plain' ? undefined : drive?.direct) ?? drive?.buffered;
}

/** A machine of which only the drive is known. */
function diskAlone(diskBytesPerSecond: number): PassSpeeds {
  return {
    diskBytesPerSecond,
    readSeconds: 0,
    dramBytesPerSecond: Number.POSITIVE_INFINITY,
    flopsPerSecond: Number.POSITIVE_INFINITY,
    callSeconds: 0,
    opSeconds: 0,
  };
}

const LIMIT_NAMES: Readonly<Record<PassPrediction['binds'], string>> = {
  disk: 'the drive',
  bus: 'uploading weights to the device',
  dram: 'reading weights from memory',
  flops: 'arithmetic',
  steps: 'many small steps',
};

/** The prediction, for a table. */
export function speedRows(report: SpeedReport | null): [string, string][] {
  if (report === null)
    return [['a token', 'not predicted: no drive was measured; --disk 2GB/s reckons with a given one']];
  const { token, lastToken, first, speeds } = report;
  const { terms, streamedBytes } = token;
  const isMeasured = Number.isFinite(speeds.dramBytesPerSecond);
  const about = isMeasured ? 'about' : 'at least';
  const computing: [string, string][] = [
    ['  memory', `${duration(terms.dram)} at ${gigabytes(speeds.dramBytesPerSecond)}`],
    ['  arithmetic', `${duration(terms.flops)} at ${significant(speeds.flopsPerSecond / 1e9)} GFLOP/s`],
    ['  steps', duration(terms.steps)],
  ];
  const { device } = speeds;
  const bus: [string, string][] =
    device === undefined ? [] : [['  upload', `${duration(terms.bus)} at ${gigabytes(device.uploadBytesPerSecond)}`]];
  const more: [string, string][] =
    token.memoryForTenth === null ? [] : [['a tenth less', `with ${formatBytes(token.memoryForTenth)} more memory`]];
  return [
    ['a token', `${about} ${duration(token.seconds)}, limited by ${LIMIT_NAMES[token.binds]}`],
    ['  drive', `${duration(terms.disk)} for ${formatBytes(streamedBytes)} at ${gigabytes(speeds.diskBytesPerSecond)}`],
    ...bus,
    ...(isMeasured ? computing : []),
    ...(lastToken === null ? [] : [lastRow(lastToken, about)]),
    ['the first', `${about} ${duration(first.seconds)} after the start, for ${PROMPT} tokens of prompt`],
    ...more,
  ];
}

/** Three digits, from microseconds to minutes. */
export function duration(seconds: number): string {
  if (seconds === 0) return '0 s';
  if (seconds < 1e-3) return `${significant(seconds * 1e6)} µs`;
  if (seconds < 1) return `${significant(seconds * 1e3)} ms`;
  return seconds < 120 ? `${significant(seconds)} s` : `${significant(seconds / 60)} min`;
}

export function gigabytes(bytesPerSecond: number): string {
  return `${significant(bytesPerSecond / 1e9)} GB/s`;
}

function lastRow({ seconds, streamedBytes }: PassPrediction, about: string): [string, string] {
  return ['the last', `${about} ${duration(seconds)}, reading ${formatBytes(streamedBytes)}: the context is full then`];
}
