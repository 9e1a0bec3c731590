import { expect, test } from 'vitest';
import { fastestProvider, measureGpus } from './gpus';

const elsewhere = process.platform === 'win32' ? 'coreml' : 'dml';

test('measures the providers that can be used, and says why others cannot', async () => {
  const found = await measureGpus({ dtype: 'F32', deviceMemory: 2 ** 28, providers: [elsewhere, 'cpu'] });
  expect(found[0]).toEqual({ provider: elsewhere, reason: expect.stringContaining(elsewhere) });
  const positive = expect.toSatisfy((value: unknown) => (value as number) > 0);
  expect(found[1]).toEqual({
    provider: 'cpu',
    name: 'onnxruntime cpu',
    uploadBytesPerSecond: positive,
    bytesPerSecond: positive,
    flopsPerSecond: positive,
    callSeconds: positive,
    layerSeconds: positive,
  });
  expect(fastestProvider(found)).toBe('cpu');
});

test('the quickest is the one whose decode steps are', () => {
  const speeds = { name: '', uploadBytesPerSecond: 1, bytesPerSecond: 1, flopsPerSecond: 1, callSeconds: 1 };
  const measured = [
    { provider: 'webgpu', ...speeds, layerSeconds: 2 },
    { provider: 'cuda', ...speeds, layerSeconds: 1 },
    { provider: 'dml', reason: 'not here' },
  ] as const;
  expect(fastestProvider(measured)).toBe('cuda');
  expect(fastestProvider(measured.slice(2))).toBeNull();
});
