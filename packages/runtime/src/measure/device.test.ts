import { createExecutor } from '@airllm/kernels';
import { expect, test } from 'vitest';
import { pretendDevice } from '../testing/pretend-device';
import { measureDevice } from './device';

test('measures upload, products and calls of a device, and gives back what it took', async () => {
  const device = await pretendDevice();
  const speeds = await measureDevice(device.executor, { dtype: 'BF16' });
  for (const speed of Object.values(speeds)) expect(speed).toBeGreaterThan(0);
  expect(device.held()).toBe(0);
  await device.dispose();
});

test('needs a device', async () => {
  const executor = await createExecutor({ executor: 'reference' });
  await expect(measureDevice(executor, { dtype: 'F32' })).rejects.toThrow('one with a device');
  await executor.dispose();
});
