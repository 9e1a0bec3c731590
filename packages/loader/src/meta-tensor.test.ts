import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DisposedError, MissingTensorError, OptionError, ReadError } from './errors';
import { HostBuffer } from './host-buffer';
import { MetaTensor } from './meta-tensor';
import { openReader } from './readers/open-reader';
import { temporaryFolder } from './testing/folder';

const dir = temporaryFolder();
mkdirSync(join(dir, 'sub'));
const file = join(dir, 'sub', 'bytes');
const floats = Float32Array.from({ length: 3000 }, (_, i) => i / 7);
writeFileSync(file, Buffer.concat([Buffer.from('odd'), Buffer.from(floats.buffer)]));
const tensor = new MetaTensor({
  name: 'w',
  dtype: 'F32',
  shape: [30, 100],
  extent: { file, offset: 3, length: 12_000 },
});

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

test('a tensor without bytes knows its size', () => {
  const meta = new MetaTensor({ name: 'embed', dtype: 'BF16', shape: [128_256, 16_384] });
  expect(meta).toMatchObject({ device: 'meta', byteLength: 4_202_692_608, elementCount: 2_101_346_304 });
  expect('extent' in meta).toBe(false);
  expect(MetaTensor.isInstance(meta)).toBe(true);
  expect(MetaTensor.isInstance({ ...meta })).toBe(false);
  expect(() => new MetaTensor({ name: 'w', dtype: 'F32', shape: [-1] })).toThrow(OptionError);
});

test('materialize brings the bytes, and disposing the result frees them', async () => {
  const before = HostBuffer.total();
  const host = await tensor.materialize();
  expect(host.toFloat32()).toEqual(floats);
  expect(host).toMatchObject({ name: 'w', dtype: 'F32', shape: [30, 100], byteLength: 12_000, ownsBuffer: true });
  host[Symbol.dispose]();
  expect(() => host.bytes()).toThrow(DisposedError);
  expect(HostBuffer.total()).toBe(before);
});

test.each(['auto', 'plain'] as const)('into a buffer of the caller, by a reader of kind %s', async (kind) => {
  const reader = await openReader({ kind });
  const into = HostBuffer.allocate(32_768);
  const host = await tensor.materialize({ into, at: 8192, reader });
  expect(host.buffer).toBe(into);
  expect(host.byteOffset).toBeGreaterThanOrEqual(8192);
  expect(host.toFloat32()).toEqual(floats);
  host.dispose();
  expect(into.disposed).toBe(false);
  into.dispose();
  const owned = await tensor.materialize({ reader, at: 4096 });
  expect(owned.toFloat32()).toEqual(floats);
  owned.dispose();
  await reader.close();
});

test('many at once share a thread, also after it has gone', async () => {
  const round = async () => {
    const hosts = await Promise.all(Array.from({ length: 50 }, () => tensor.materialize()));
    for (const host of hosts) {
      expect(host.toFloat32()).toEqual(floats);
      host.dispose();
    }
  };
  await round();
  await new Promise((resolve) => setTimeout(resolve, 700));
  await round();
});

test('failures free what was allocated', async () => {
  const before = HostBuffer.total();
  const meta = new MetaTensor({ name: 'w', dtype: 'F32', shape: [4] });
  const error = await rejection(meta.materialize());
  expect(MissingTensorError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ tensor: 'w' });
  const absent = { file: join(dir, 'absent'), offset: 0, length: 16 };
  const lost = new MetaTensor({ name: 'w', dtype: 'F32', shape: [4], extent: absent });
  expect(ReadError.isInstance(await rejection(lost.materialize()))).toBe(true);
  const reason = new Error('enough');
  expect(await rejection(tensor.materialize({ signal: AbortSignal.abort(reason) }))).toBe(reason);
  expect(HostBuffer.total()).toBe(before);
});
