import {
  createExecutor,
  DeviceMemoryError,
  type Executor,
  type ExecutorOptions,
  ExecutorUnavailableError,
  gpuProviders,
  OnnxError,
  type Provider,
} from '@airllm/kernels';
import type { DeviceSpeeds } from '../plan/predict';
import type { MeasuredDType } from './chain';
import { measureDevice } from './device';
import { measureLayer } from './layer';

/** What a provider of onnxruntime does with this machine's GPU. */
export interface ProviderSpeeds extends DeviceSpeeds {
  readonly provider: Provider;
  /** Of its device, for people. */
  readonly name: string;
  /** Seconds of one small layer of a decode step. */
  readonly layerSeconds: number;
}

/** A provider that cannot be used here, and why. */
export interface UnusableProvider {
  readonly provider: Provider;
  readonly reason: string;
}

export interface MeasureGpusOptions {
  readonly dtype: MeasuredDType;
  /** Most of the GPU's memory to take. */
  readonly deviceMemory: number;
  /** @defaultValue what this platform's graphics cards can have */
  readonly providers?: readonly Provider[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How they are opened; others only for tests. */
  readonly open?: ((options: ExecutorOptions) => Promise<Executor>) | undefined;
}

/** Measures every provider that has a GPU here, one after the other, for some three seconds each. Throws the signal's reason. */
export async function measureGpus(options: MeasureGpusOptions): Promise<(ProviderSpeeds | UnusableProvider)[]> {
  const { dtype, deviceMemory, providers = gpuProviders(), signal, open = createExecutor } = options;
  const found: (ProviderSpeeds | UnusableProvider)[] = [];
  for (const provider of providers) {
    signal?.throwIfAborted();
    try {
      const executor = await open({ executor: 'onnx', provider, deviceMemory });
      try {
        const speeds = await measureDevice(executor, { dtype, signal });
        const layerSeconds = await measureLayer(executor, { dtype, signal });
        found.push({ provider, name: executor.device!.name, layerSeconds, ...speeds });
      } finally {
        await executor.dispose();
      }
    } catch (error) {
      const reason = reasonOf(error);
      if (reason === undefined) throw error;
      found.push({ provider, reason });
    }
  }
  return found;
}

/** Undefined for what has nothing to do with the provider. */
function reasonOf(error: unknown): string | undefined {
  if (ExecutorUnavailableError.isInstance(error) || OnnxError.isInstance(error)) return error.reason;
  return DeviceMemoryError.isInstance(error) ? error.message : undefined;
}

/** The provider whose decode steps are the quickest; null where none was measured. */
export function fastestProvider(measured: readonly (ProviderSpeeds | UnusableProvider)[]): Provider | null {
  const speeds = measured.filter((each): each is ProviderSpeeds => 'layerSeconds' in each);
  return speeds.sort((a, b) => a.layerSeconds - b.layerSeconds)[0]?.provider ?? null;
}
