import {
  createExecutor,
  type Executor,
  type ExecutorOptions,
  ExecutorUnavailableError,
  type Provider,
} from '@airllm/kernels';
import { OptionError } from '@airllm/loader';
import type { DeviceBlocks, DeviceGrant, GraphPasses } from '../../plan/types';
import { type ByteSize, parseByteSize } from '../byte-size';
import { gpuChoice } from './gpu-choice';
import { freeGpuMemory, mayHaveGpu } from './gpu-memory';

/** Which memories a model is placed in, and so who computes it. */
export interface DeviceOptions {
  /**
   * `cpu`: the executor alone. `gpu`: a GPU computes the whole model; what its memory cannot hold is uploaded in each
   * pass. `auto`: a GPU computes the last layers, as many as its memory holds, and the executor the others. Where no GPU
   * can be used, a warning says why and the executor computes all. Values of a GPU differ from the CPU's in their last
   * digits; see `planFile`. @defaultValue 'cpu'
   */
  readonly device?: 'auto' | 'cpu' | 'gpu' | undefined;
  /** Most of the GPU's memory to take, everything included. @defaultValue nine tenths of what is free, where that can be told */
  readonly vram?: ByteSize | undefined;
  /**
   * What of onnxruntime drives the GPU. `cuda`, `dml` and `coreml` hold weights there and nothing else, so that only
   * blocks whose weights stay are theirs, also with `gpu`. `auto`: the one that `airllm doctor` measured to be the
   * quickest on this machine, else `webgpu`. `cpu` is onnxruntime without a GPU, to try all this out. @defaultValue 'auto'
   */
  readonly provider?: 'auto' | Provider | undefined;
  /**
   * JSON file that keeps which blocks a GPU computes, and by which provider. One that exists is followed, so that the
   * same arithmetic is done again whatever the memory; one that does not is written.
   */
  readonly planFile?: string | undefined;
}

/** A device that was opened, and what a plan is told of it. */
export interface OpenedDevice {
  readonly executor: Executor;
  readonly provider: Provider;
  readonly grant: DeviceGrant;
}

export interface OpenDeviceOptions extends DeviceOptions {
  readonly onWarning: (message: string) => void;
  /** Blocks that a placement made before gives to the device. @defaultValue as `device` says */
  readonly placed?: readonly number[] | null | undefined;
  /** How the machine is looked at; others only for tests. */
  readonly machine?: Machine | undefined;
}

interface Machine {
  readonly mayHaveGpu: () => Promise<boolean>;
  readonly freeGpuMemory: () => Promise<number | null>;
  readonly gpuChoice: () => Promise<Provider | null>;
  readonly open: (options: ExecutorOptions) => Promise<Executor>;
}

type Opened = Pick<OpenedDevice, 'executor' | 'provider'>;

const HERE: Machine = { mayHaveGpu, freeGpuMemory, gpuChoice, open: createExecutor };

const DEVICES: readonly unknown[] = ['auto', 'cpu', 'gpu'] satisfies DeviceOptions['device'][];
const FREE_SHARE = 0.9;

/**
 * Opens the GPU that options ask for; null where the host computes all: as asked, or since no GPU can be used, which one
 * warning says. Throws `OptionError`, also where nothing tells how much memory the GPU has, and
 * `ExecutorUnavailableError` where a provider was named that cannot be used.
 */
export async function openDevice(options: OpenDeviceOptions): Promise<OpenedDevice | null> {
  const { device = 'cpu', provider = 'auto', placed = null, onWarning, machine = HERE } = options;
  if (!DEVICES.includes(device)) {
    throw new OptionError({ option: 'device', expected: `one of ${DEVICES.join(', ')}`, found: device });
  }
  const isWanted = placed === null ? device !== 'cpu' : placed.length > 0;
  if (!isWanted) return null;
  const vram = options.vram === undefined ? undefined : parseByteSize(options.vram, 'vram');
  if (provider !== 'cpu' && !(await machine.mayHaveGpu()))
    return without('this machine has no graphics card', onWarning);
  const bytes = vram ?? (await freeShare(machine));
  if (bytes === null) {
    throw new OptionError({
      option: 'vram',
      expected: 'a size, since nothing tells how much memory the GPU has',
      found: undefined,
    });
  }
  const open = async (provider: Provider): Promise<Opened> => ({
    executor: await machine.open({ executor: 'onnx', provider, deviceMemory: bytes, onWarning }),
    provider,
  });
  const blocks = placed ?? (device === 'gpu' ? 'all' : 'resident');
  if (provider !== 'auto') return openedAs(await open(provider), blocks);
  try {
    return openedAs(await openQuickest(open, machine), blocks);
  } catch (error) {
    if (!ExecutorUnavailableError.isInstance(error)) throw error;
    return without(error.reason, onWarning);
  }
}

/** The provider that was measured to be the quickest; one that has gone since does not keep from the GPU. */
async function openQuickest(open: (provider: Provider) => Promise<Opened>, machine: Machine): Promise<Opened> {
  const chosen = await machine.gpuChoice();
  if (chosen === null || chosen === 'webgpu') return open('webgpu');
  return open(chosen).catch((error) => {
    if (!ExecutorUnavailableError.isInstance(error)) throw error;
    return open('webgpu');
  });
}

function without(reason: string, onWarning: (message: string) => void): null {
  onWarning(`airllm: computing on the CPU, because no GPU can be used: ${reason}`);
  return null;
}

async function freeShare(machine: Machine): Promise<number | null> {
  const free = await machine.freeGpuMemory();
  return free === null ? null : Math.floor(FREE_SHARE * free);
}

/** With a device that keeps nothing between passes but weights that stay, only blocks of such are computed there. */
function openedAs({ executor, provider }: Opened, blocks: DeviceBlocks): OpenedDevice {
  const weightsAlone = executor.device!.statesOnHost === true;
  return { executor, provider, grant: grantOf(executor, weightsAlone && blocks === 'all' ? 'resident' : blocks) };
}

/** An executor's device as plans see it. */
export function grantOf(executor: Executor, blocks: DeviceBlocks): DeviceGrant {
  const device = executor.device!;
  const compiled = (passes: readonly GraphPasses[]) =>
    passes.map(({ graph, ...pass }) => ({ ...pass, program: executor.compile(graph) }));
  return {
    name: device.name,
    bytes: device.limitBytes,
    blocks,
    statesOnHost: device.statesOnHost,
    uploadBytes: (graph, part) => device.uploadBytes(executor.compile(graph), part),
    mostUploadBytes: (graph, part) => device.mostUploadBytes(executor.compile(graph), part),
    stateBytes: (spec, length) => device.stateBytes(spec, length),
    activationBytes: (passes, length) => device.activationBytes(compiled(passes), length),
    transferBytes: (passes, totalBytes) => device.transferBytes(compiled(passes), totalBytes),
  };
}
