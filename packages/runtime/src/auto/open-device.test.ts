import { type ExecutorOptions, ExecutorUnavailableError } from '@airllm/kernels';
import { OptionError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { pretendDevice } from '../testing/pretend-device';
import { openDevice } from './open-device';

const GIB = 2 ** 30;

function machine(changes: { gpu?: boolean; free?: number | null; reason?: string } = {}) {
  const { gpu = true, free = 8 * GIB, reason } = changes;
  const opened: ExecutorOptions[] = [];
  const warnings: string[] = [];
  return {
    opened,
    warnings,
    onWarning: (message: string) => void warnings.push(message),
    machine: {
      mayHaveGpu: async () => gpu,
      freeGpuMemory: async () => free,
      open: async (options: ExecutorOptions) => {
        opened.push(options);
        if (reason !== undefined) throw new ExecutorUnavailableError({ executor: 'onnx', reason });
        return (await pretendDevice()).executor;
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
