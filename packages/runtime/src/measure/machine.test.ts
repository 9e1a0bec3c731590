import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildModel } from '../models/registry';
import { measureDrive, steadyRate } from './drive';
import { type MachineSpeeds, measureMachine, passSpeeds, weightDType } from './machine';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'airllm-measure-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

function positive(value: number): void {
  expect(value).toBeGreaterThan(0);
  expect(Number.isFinite(value)).toBe(true);
}

test('measures everything where there is something to read', async () => {
  await writeFile(join(dir, 'weights.bin'), Buffer.alloc(65 * 2 ** 20, 7));
  const steps: string[] = [];
  const machine = await measureMachine({
    dir,
    dtypes: ['BF16'],
    onWarning: () => {},
    onProgress: (step) => steps.push(step),
  });
  expect(steps).toEqual(['drive', 'compute']);
  expect(machine.drive!.dir).toBe(dir);
  for (const rate of [machine.drive!.buffered, machine.drive!.readSeconds]) positive(rate);
  if (machine.drive!.direct !== null) positive(machine.drive!.direct);
  expect(machine.compute.map(({ dtype }) => dtype)).toEqual(['BF16']);
  positive(machine.compute[0]!.dramBytesPerSecond);
  positive(machine.compute[0]!.flopsPerSecond);
  positive(machine.steps.callSeconds + machine.steps.opSeconds);
  expect(machine.executor.threads).toBeGreaterThan(0);
  expect(Object.values(passSpeeds(machine, 'BF16')).every((value) => value >= 0)).toBe(true);
});

test('reads nothing where nothing is large enough, and writes only when asked', async () => {
  const empty = await mkdtemp(join(dir, 'empty-'));
  expect(await measureDrive({ dir: empty })).toBeNull();
  const drive = await measureDrive({ dir: empty, writeTemporary: true });
  positive(drive!.buffered);
  expect(await readdir(empty)).toEqual([]);
});

test('stops when it is told to, and leaves nothing behind', async () => {
  const empty = await mkdtemp(join(dir, 'stopped-'));
  const reason = new Error('enough');
  await expect(measureMachine({ dir: empty, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  const running = measureDrive({ dir: empty, writeTemporary: true, signal: controller.signal });
  setTimeout(() => controller.abort(reason), 20);
  await expect(running).rejects.toBe(reason);
  expect(await readdir(empty)).toEqual([]);
});

test('a machine’s speeds become those of a pass', () => {
  const machine: Pick<MachineSpeeds, 'drive' | 'compute' | 'steps'> = {
    drive: { dir, direct: null, buffered: 5, readSeconds: 6 },
    compute: [
      { dtype: 'BF16', dramBytesPerSecond: 1, flopsPerSecond: 2 },
      { dtype: 'F32', dramBytesPerSecond: 3, flopsPerSecond: 4 },
    ],
    steps: { callSeconds: 7, opSeconds: 8 },
  };
  const rest = { readSeconds: 6, callSeconds: 7, opSeconds: 8 };
  const f32 = { diskBytesPerSecond: 5, dramBytesPerSecond: 3, flopsPerSecond: 4, ...rest };
  expect(passSpeeds(machine, 'F32')).toEqual(f32);
  expect(passSpeeds(machine, 'F8_E4M3').dramBytesPerSecond).toBe(1);
  expect(passSpeeds(machine, 'F32', 9)).toEqual({ ...f32, diskBytesPerSecond: 9 });
  expect(passSpeeds({ ...machine, drive: { ...machine.drive!, direct: 10 } }, 'F32').diskBytesPerSecond).toBe(10);
  expect(() => passSpeeds({ ...machine, drive: null }, 'F32')).toThrow(
    expect.objectContaining({ option: 'diskBytesPerSecond' }),
  );
  expect(() => passSpeeds({ ...machine, compute: [] }, 'F32')).toThrow(expect.objectContaining({ option: 'dtypes' }));
});

test('the dtype of most of a model’s weights is measured with', () => {
  expect(weightDType(buildModel({ model_type: 'gpt2' }, { dtype: 'F16' }))).toBe('F16');
  expect(weightDType(buildModel({ model_type: 'gpt2' }, { dtype: 'F8_E4M3' }))).toBe('BF16');
});

describe('the rate of a drive', () => {
  const CHUNK = 16 * 2 ** 20;

  test('is what it gives after a burst, however its answers come together', () => {
    // Four at a time every 100 ms, after twelve that came at once.
    const ends = Array.from({ length: 60 }, (_, i) => (i < 12 ? 25 : 25 + 100 * Math.floor((i - 8) / 4)));
    expect(steadyRate(ends, 8) / (40 * CHUNK)).toBeCloseTo(1, 1);
  });

  test('is bytes by time where little was read', () => {
    expect(steadyRate([100, 150, 200, 500], 8)).toBe(8 * CHUNK);
  });
});
