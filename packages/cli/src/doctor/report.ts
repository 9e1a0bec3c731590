import type { ExaminedGpus, MachineSpeeds, PlanSummary } from '@airllm/runtime';
import { deviceRows } from '../estimate/report';
import { duration, gigabytes, type SpeedReport, speedRows } from '../estimate/speed';
import { table } from '../output/table';
import { formatBytes, formatCount, significant } from '../output/units';
import type { Advice } from './advice';

/** What `airllm doctor --json` prints; sizes are bytes, times seconds. */
export interface DoctorReport {
  readonly machine: MachineSpeeds & {
    /** Null without a graphics card, and where none was asked for. */
    readonly gpus: ExaminedGpus | null;
    readonly cpu: string;
    readonly os: string;
    readonly node: string;
  };
  /** Null without a model. */
  readonly model: DoctorModel | null;
}

export interface DoctorModel {
  readonly dir: string;
  readonly modelType: string;
  readonly parameters: number;
  /** Of most weights. */
  readonly dtype: string;
  /** Granted to the process, and for how many positions. */
  readonly memory: number | undefined;
  readonly contextLength: number;
  readonly plan: PlanSummary;
  /** Null where nothing tells how fast the drive is. */
  readonly speed: SpeedReport | null;
  readonly advice: readonly Advice[];
}

/** One screen. */
export function doctorText({ machine, model }: DoctorReport): string {
  const measured = table([
    ['machine', `${machine.cpu}, ${machine.os}, Node ${machine.node}`],
    [
      'computing',
      `${machine.executor.name} ${machine.executor.isa}, ${machine.executor.computeDtype}, ${machine.executor.threads} threads`,
    ],
    ['memory', memoryText(machine)],
    ['drive', driveText(machine)],
    ...machine.compute.map(({ dtype, dramBytesPerSecond, flopsPerSecond }): [string, string] => [
      dtype,
      `${gigabytes(dramBytesPerSecond)} of weights from memory, ${significant(flopsPerSecond / 1e9)} GFLOP/s`,
    ]),
    ['a step', `${duration(machine.steps.callSeconds)}, and ${duration(machine.steps.opSeconds)} for each op in it`],
    ...(machine.gpus?.providers.map((found) => providerRow(found, machine.gpus!.chosen)) ?? []),
    ...gpuRows(machine.device),
  ]);
  return model === null ? measured : `${measured}\n${modelText(model)}`;
}

function providerRow(found: ExaminedGpus['providers'][number], chosen: ExaminedGpus['chosen']): [string, string] {
  if ('reason' in found) return [found.provider, `not usable: ${found.reason}`];
  const { provider, uploadBytesPerSecond, bytesPerSecond, layerSeconds } = found;
  const speeds = `${gigabytes(uploadBytesPerSecond)} of weights uploaded, ${gigabytes(bytesPerSecond)} computed with`;
  return [provider, `${speeds}, ${duration(layerSeconds)} a small layer${provider === chosen ? ': taken' : ''}`];
}

function gpuRows(device: MachineSpeeds['device']): [string, string][] {
  if (device === null) return [];
  const { name, uploadBytesPerSecond, bytesPerSecond, flopsPerSecond, callSeconds } = device;
  return [
    ['device', name],
    ['  upload', `${gigabytes(uploadBytesPerSecond)} of weights over the bus`],
    [
      '  computing',
      `${gigabytes(bytesPerSecond)} of weights in its memory, ${significant(flopsPerSecond / 1e9)} GFLOP/s`,
    ],
    ['  a step', duration(callSeconds)],
  ];
}

function modelText({ modelType, parameters, dtype, plan, memory, contextLength, speed, advice }: DoctorModel): string {
  const held = plan.pinned + plan.expertSlots.count * plan.expertSlots.bytes;
  const granted = memory === undefined ? '' : ` in ${formatBytes(memory)}, at ${contextLength} positions`;
  const facts = table([
    ['model', `${modelType}, ${formatCount(parameters)} parameters, ${formatBytes(plan.weights)} of ${dtype}`],
    ['resident', `${formatBytes(held)} of the weights${granted}`],
    ...deviceRows(plan.device),
    ...speedRows(speed),
  ]);
  return speed === null ? facts : `${facts}\n${adviceText(speed, advice)}`;
}

function adviceText({ token }: SpeedReport, advice: readonly Advice[]): string {
  if (advice.length === 0) return 'Nothing that could be changed would make a token much quicker.\n';
  const rows = advice.map(({ change, seconds }): [string, string] => [
    `${duration(seconds)} a token (${(token.seconds / seconds).toFixed(1)} ×)`,
    change,
  ]);
  return `To go faster\n${table(rows, '  ')}`;
}

function memoryText({ memory }: MachineSpeeds): string {
  const limit = memory.cgroup ?? memory.constrained;
  const confined = limit === null ? '' : `, confined to ${formatBytes(limit)}`;
  return `${formatBytes(memory.available)} free of ${formatBytes(memory.total)}${confined}`;
}

function driveText({ drive }: MachineSpeeds): string {
  if (drive === null) return 'not measured: no file of 64 MiB there; see --dir and --write-temporary';
  const direct = drive.direct === null ? 'no direct I/O' : `${gigabytes(drive.direct)} direct`;
  return `${direct}, ${gigabytes(drive.buffered)} buffered, ${duration(drive.readSeconds)} for one small read (${drive.dir})`;
}
