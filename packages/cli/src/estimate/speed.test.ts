import { rmSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { airllm } from '../testing/fake-io';
import { tinyModel } from '../testing/tiny-model';

const SIZES = ['--weights-memory', '160KB', '--context', '128'];
const estimated = async (...argv: string[]) => JSON.parse((await airllm(['estimate', ...argv, '--json'])).stdout);

// A drive so slow that it limits even what a busy machine computes.
test('seconds by a given drive and what is measured here, from config.json alone', async () => {
  const dir = tinyModel();
  rmSync(path.join(dir, 'model.safetensors'));
  const { speed, streamedPerPass } = await estimated(dir, ...SIZES, '--disk', '10KB/s');
  expect(speed.speeds.diskBytesPerSecond).toBe(1e4);
  expect(speed.speeds.dramBytesPerSecond).toBeGreaterThan(0);
  expect(speed.token.terms.disk).toBeCloseTo(streamedPerPass / 1e4);
  expect(speed.token.seconds).toBeGreaterThanOrEqual(0.99 * speed.token.terms.disk);
  const { stdout } = await airllm(['estimate', dir, ...SIZES, '--disk', '10KB/s']);
  expect(stdout).toMatch(/^a token +about .*limited by the drive$/m);
  expect(stdout).toMatch(/^ {2}drive .* at 0\.00 GB\/s$/m);
  expect(stdout).toMatch(/^ {2}memory /m);
  expect(stdout).toMatch(/^the first +about /m);
});

test('without measuring, the drive’s part is the least it can be', async () => {
  const dir = tinyModel();
  const { speed } = await estimated(dir, ...SIZES, '--disk', '1MB/s', '--no-measure');
  expect(speed.token.terms).toMatchObject({ dram: 0, flops: 0 });
  expect(speed.token.seconds).toBeCloseTo(speed.token.terms.disk, 3);
  const { stdout } = await airllm(['estimate', dir, ...SIZES, '--disk', '1MB/s', '--no-measure']);
  expect(stdout).toMatch(/^a token +at least /m);
  expect(stdout).not.toMatch(/arithmetic/);
});

test('nothing is predicted where nothing tells the drive’s speed', async () => {
  for (const option of [[], ['--no-measure']]) {
    const { speed } = await estimated(tinyModel(), ...SIZES, ...option);
    expect(speed).toBeNull();
  }
  expect((await airllm(['estimate', tinyModel(), ...SIZES])).stdout).toMatch(/^a token +not predicted: .*--disk/m);
  expect((await airllm(['estimate', tinyModel(), '--disk', 'fast'])).code).toBe(2);
});

test('keys and values on disk are read at the end of the context', async () => {
  const options = [...SIZES, '--disk', '2MB/s', '--kv-cache-place', 'disk'];
  const { speed, diskState, streamedPerPass } = await estimated(tinyModel(), ...options);
  expect(diskState.positions).toBe(128);
  expect(speed.lastToken.streamedBytes).toBe(streamedPerPass + diskState.bytes);
  const { stdout } = await airllm(['estimate', tinyModel(), ...options]);
  expect(stdout).toMatch(/^state .* on disk at 128 positions$/m);
  expect(stdout).toMatch(/^the last +about /m);
});
