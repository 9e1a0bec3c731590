import { type ExecutorOptions, ExecutorUnavailableError, type Provider } from '@airllm/kernels';
import { OptionError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { pretendDevice } from '../../testing/pretend-device';
import { openDevice } from './open-device';

const GIB = 2 ** 30;

interface Changes {
  readonly gpu?: boolean;
  readonly free?: number | null;
  /** Why these providers cannot be used. */
  readonly reason?: string;
  readonly refused?: readonly string[];
  readonly choice?: Provider | null;
  readonly statesOnHost?: boolean;
}

function machine(changes: Changes = {}) {
  const { gpu = true, free = 8 * GIB, reason, refused = ['webgpu'], choice = null, statesOnHost } = changes;
  const opened: ExecutorOptions[] = [];
  const warnings: string[] = [];
  return {
    opened,
    warnings,
    onWarning: (message: string) => void warnings.push(message),
    machine: {
      mayHaveGpu: async () => gpu,
      freeGpuMemory: async () => free,
      gpuChoice: async () => choice,
      open: async (options: ExecutorOptions) => {
        opened.push(options);
        if (reason !== undefined && refused.includes(options.provider!)) {
          throw new ExecutorUnavailableError({ executor: 'onnx', reason });
        }
        const { executor } = await pretendDevice();
        return statesOnHost === undefined ? executor : { ...executor, device: { ...executor.device, statesOnHost } };
      },
    },
  };
}

describe('openDevice', () => {
  test('opens nothing unless it is asked to', async () => {
    const m = machine();
    expect(await openDevice({ ...m, placed: null })).toBeNull();
    expect(await openDevice({ ...m, placed: null, device: 'cpu' })).toBeNull();
    expect(await openDevice({ ...m, placed: [], device: 'gpu' })).toBeNull();
    expect(m.opened).toEqual([]);
    expect(m.warnings).toEqual([]);
  });

  test('gives the plan all blocks, or those that can stay, or those of a placement', async () => {
    const blocks = async (device: 'auto' | 'cpu' | 'gpu', placed: number[] | null) => {
      const opened = await openDevice({ ...machine(), placed, device });
      await opened!.executor.dispose();
      return opened!.grant.blocks;
    };
    expect(await blocks('gpu', null)).toBe('all');
    expect(await blocks('auto', null)).toBe('resident');
    expect(await blocks('cpu', [2, 3])).toEqual([2, 3]);
  });

  test('takes the provider that is named, else the quickest measured here, else WebGPU', async () => {
    const providers = async (changes: Changes, provider?: Provider) => {
      const m = machine(changes);
      await (await openDevice({ ...m, placed: null, device: 'gpu', provider }))!.executor.dispose();
      return m.opened.map((options) => options.provider);
    };
    expect(await providers({})).toEqual(['webgpu']);
    expect(await providers({ choice: 'cuda' })).toEqual(['cuda']);
    expect(await providers({ choice: 'cuda' }, 'webgpu')).toEqual(['webgpu']);
    // Its library went after it was measured.
    expect(await providers({ choice: 'cuda', reason: 'missing', refused: ['cuda'] })).toEqual(['cuda', 'webgpu']);
    // One that needs no card.
    expect(await providers({ gpu: false }, 'cpu')).toEqual(['cpu']);
  });

  test('refuses a provider that was named and cannot be used', async () => {
    const m = machine({ reason: 'libonnxruntime_providers_cuda.so is missing', refused: ['cuda'] });
    const refused = openDevice({ ...m, placed: null, device: 'auto', provider: 'cuda' });
    await expect(refused).rejects.toSatisfy(ExecutorUnavailableError.isInstance);
  });

  test('gives one that holds weights alone only blocks whose weights stay', async () => {
    const opened = await openDevice({ ...machine({ statesOnHost: true }), placed: null, device: 'gpu' });
    expect(opened!.grant).toMatchObject({ blocks: 'resident', statesOnHost: true });
    await opened!.executor.dispose();
  });

  test('takes what is granted, or nine tenths of what is free', async () => {
    const m = machine();
    await (await openDevice({ ...m, placed: null, device: 'gpu' }))!.executor.dispose();
    await (await openDevice({ ...m, placed: null, device: 'gpu', vram: '4GiB' }))!.executor.dispose();
    expect(m.opened.map(({ deviceMemory }) => deviceMemory)).toEqual([Math.floor(7.2 * GIB), 4 * GIB]);
  });

  test.each([
    ['there is no card', machine({ gpu: false }), 'no graphics card'],
    [
      'its runtime cannot be used',
      machine({ reason: 'onnxruntime-node is not installed' }),
      'onnxruntime-node is not installed',
    ],
  ])('says in one line why the CPU computes where %s', async (_, m, reason) => {
    expect(await openDevice({ ...m, placed: null, device: 'auto' })).toBeNull();
    expect(m.warnings).toHaveLength(1);
    expect(m.warnings[0]).toContain(reason);
  });

  test('asks for a size where nothing tells one', async () => {
    const asked = await openDevice({ ...machine({ free: null }), placed: null, device: 'gpu' }).catch((error) => error);
    expect(OptionError.isInstance(asked)).toBe(true);
    expect(asked.option).toBe('vram');
    const named = await openDevice({ ...machine(), placed: null, device: 'tpu' as never }).catch((error) => error);
    expect(named.option).toBe('device');
  });
});
