import { createExecutor, type Executor, type ExecutorInfo, type ExecutorOptions } from '@airllm/kernels';
import { OptionError } from '@airllm/loader';
import { dtypeShares } from '../models/description';
import type { Model } from '../models/model';
import type { DeviceSpeeds, PassSpeeds } from '../plan/predict';
import { MEASURED_DTYPES, type MeasuredDType } from './chain';
import { type ComputeSpeed, measureCompute, type StepCosts } from './compute';
import { measureDevice } from './device';
import { type DriveSpeed, measureDrive } from './drive';
import { type MemoryLimits, memoryLimits } from './memory-limits';

/** What {@link measureMachine} measures, and with what. */
export interface MeasureOptions extends Pick<ExecutorOptions, 'threads' | 'computeDtype' | 'onWarning'> {
  /** Folder whose drive is measured: a model's, or any that holds large files. @defaultValue no drive is measured */
  readonly dir?: string | undefined;
  /** Write and delete a file of 256 MiB where the folder has nothing large enough. @defaultValue false */
  readonly writeTemporary?: boolean | undefined;
  /** One that is open, which stays the caller's, or which to open. @defaultValue 'auto' */
  readonly executor?: Executor | ExecutorOptions['executor'];
  /** One with a device, which is measured too; stays the caller's. */
  readonly device?: Executor | undefined;
  /** Dtypes of weights to measure with. @defaultValue BF16 and F32 */
  readonly dtypes?: readonly MeasuredDType[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((what: MeasureStep) => void) | undefined;
}

/** What is being measured. */
export type MeasureStep = 'drive' | 'compute' | 'device';

/** What this machine can do, measured in a few seconds. */
export interface MachineSpeeds {
  /** Null where there was nothing to read. */
  readonly drive: DriveSpeed | null;
  readonly compute: readonly ComputeSpeed[];
  readonly steps: StepCosts;
  readonly executor: ExecutorInfo;
  readonly memory: MemoryLimits;
  /** With weights of the first dtype; null where none was to be measured. */
  readonly device: ({ readonly name: string } & DeviceSpeeds) | null;
}

const MIB = 2 ** 20;
/** Share of what is free that measuring may take. */
const MEMORY_SHARE = 1 / 4;

/**
 * Measures the drive of a folder, products from memory and from the caches, and what limits memory, one after the other.
 * Throws `ExecutorUnavailableError`, `ReadError`, file system errors, and the signal's reason.
 */
export async function measureMachine(options: MeasureOptions): Promise<MachineSpeeds> {
  const { dir, signal, onProgress = () => {}, dtypes = ['BF16', 'F32'] } = options;
  if (dtypes.length === 0) throw new OptionError({ option: 'dtypes', expected: 'at least one', found: dtypes });
  const memory = memoryLimits();
  const room = Math.floor(memory.available * MEMORY_SHARE);
  signal?.throwIfAborted();
  let drive: DriveSpeed | null = null;
  if (dir !== undefined) {
    onProgress('drive');
    const bufferBytes = Math.min(128 * MIB, room);
    drive = await measureDrive({ dir, writeTemporary: options.writeTemporary, bufferBytes, signal });
  }
  onProgress('compute');
  const given = typeof options.executor === 'object' ? options.executor : undefined;
  const executor = given ?? (await openExecutor(options));
  try {
    const { speeds, steps } = await measureCompute(executor, {
      dtypes,
      weightBytes: Math.min(512 * MIB, room),
      signal,
    });
    if (options.device !== undefined) onProgress('device');
    const device = options.device && (await measureNamed(options.device, dtypes[0]!, signal));
    return { drive, compute: speeds, steps, executor: executor.info, memory, device: device ?? null };
  } finally {
    if (given === undefined) await executor.dispose();
  }
}

async function measureNamed(executor: Executor, dtype: MeasuredDType, signal: AbortSignal | undefined) {
  const speeds = await measureDevice(executor, { dtype, signal });
  return { name: executor.device!.name, ...speeds };
}

function openExecutor({ executor, threads, computeDtype, onWarning }: MeasureOptions): Promise<Executor> {
  return createExecutor({
    executor: typeof executor === 'string' ? executor : 'auto',
    threads,
    computeDtype,
    onWarning,
  });
}

/**
 * What `predictPass` wants to know of a machine for weights of a dtype (of the first that was measured, where that one
 * was not). `diskBytesPerSecond` stands in for a drive that was not measured, or instead of it.
 */
export function passSpeeds(
  machine: Pick<MachineSpeeds, 'drive' | 'compute' | 'steps'> & Partial<Pick<MachineSpeeds, 'device'>>,
  dtype: string,
  diskBytesPerSecond: number | undefined = machine.drive?.direct ?? machine.drive?.buffered,
): PassSpeeds {
  const compute = machine.compute.find((each) => each.dtype === dtype) ?? machine.compute[0];
  if (compute === undefined || diskBytesPerSecond === undefined) {
    const option = compute === undefined ? 'dtypes' : 'diskBytesPerSecond';
    throw new OptionError({ option, expected: 'a speed, since none was measured', found: undefined });
  }
  return {
    diskBytesPerSecond,
    readSeconds: machine.drive?.readSeconds ?? 0,
    dramBytesPerSecond: compute.dramBytesPerSecond,
    flopsPerSecond: compute.flopsPerSecond,
    ...machine.steps,
    ...(machine.device && { device: machine.device }),
  };
}

/** The dtype to measure with for a model: that of most of its bytes, or BF16 where none of them can be measured with. */
export function weightDType(model: Model): MeasuredDType {
  const found = dtypeShares(model.tensors.values()).map(({ dtype }) =>
    MEASURED_DTYPES.find((measured) => measured === dtype),
  );
  return found.find((dtype) => dtype !== undefined) ?? 'BF16';
}
