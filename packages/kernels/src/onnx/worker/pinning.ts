import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { PackedKind } from '../packed-form';
import { keepsWeightsAlone, type Provider } from '../providers';
import type { Backend } from './backend';
import { CpuBackend } from './cpu-backend';
import { withInitialisers } from './model/initialisers';
import { ModelBuilder } from './model/model-builder';

/** How weights that stay are kept where no tensors can be: as initialisers of sessions. */
export interface Pinning {
  readonly provider: Provider;
  /** Where weights lie on their way, in the form they will stay in. */
  readonly staging: Backend;
  readonly sessionOptions: InferenceSession.SessionOptions;
}

/** Forms that its kernels multiply with; from what it has none for, the CPU would compute. */
const PACKS: Readonly<Record<Exclude<Provider, 'webgpu'>, readonly PackedKind[]>> = {
  cpu: ['bnb4'],
  cuda: ['nbits', 'bnb4'],
  dml: ['nbits'],
  coreml: [],
};

/** Rejects where the provider has no device. */
export async function openPinning(provider: Exclude<Provider, 'webgpu'>, threads: number): Promise<Pinning> {
  const ownDevice = keepsWeightsAlone(provider);
  const staging = new CpuBackend(threads, { halfFloats: ownDevice, packs: PACKS[provider] });
  const { extra, ...common } = staging.sessionOptions;
  const sessionOptions: InferenceSession.SessionOptions = ownDevice
    ? {
        ...common,
        executionProviders: [provider],
        // What is left to the CPU is small; a thread of its own for each session would not pay.
        intraOpNumThreads: 1,
        // Anything more turns constants in float16 into as many in float32.
        graphOptimizationLevel: 'disabled',
        // The arena would take memory for them by powers of two.
        extra: { ...extra, session: { ...extra.session, use_device_allocator_for_initializers: '1' } },
      }
    : // Matrices laid out anew are quicker for many rows, and slower for one.
      { ...common, extra: { ...extra, session: { ...extra.session, disable_prepacking: '1' } } };
  const pinning = { provider, staging, sessionOptions };
  if (ownDevice) await tryOut(pinning);
  return pinning;
}

/** Whether there is a device is only known by using it. */
async function tryOut({ sessionOptions }: Pinning): Promise<void> {
  const model = new ModelBuilder();
  const sum = model.node('Add', [model.input('x', 'float32', ['n']), model.input('w', 'float32', [1])]);
  model.output('y', sum, 'float32', ['n']);
  const one = new Tensor('float32', Float32Array.of(1), [1]);
  const { bytes, externalData } = withInitialisers(model.build(), new Map([['w', one]]));
  const session = await InferenceSession.create(bytes, { ...sessionOptions, externalData });
  try {
    await session.run({ x: one });
  } finally {
    await session.release();
  }
}
