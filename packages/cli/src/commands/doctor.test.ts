import { rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { airllm } from '../testing/fake-io';
import { temporaryFolder } from '../testing/temporary';
import { tinyModel } from '../testing/tiny-model';

const examined = async (...argv: string[]) => JSON.parse((await airllm(['doctor', ...argv, '--json'])).stdout);

const positive = expect.toSatisfy((value: unknown) => typeof value === 'number' && value > 0);
const dense = { disk: expect.any(Number), bus: 0, dram: positive, flops: positive, steps: positive };

test('a machine: what it computes with, and what limits its memory', async () => {
  const dir = temporaryFolder();
  const report = await examined('--dir', dir, '--device', 'cpu');
  expect(report).toEqual({
    machine: {
      cpu: expect.any(String),
      os: expect.any(String),
      node: process.versions.node,
      // Nothing large enough lies there, and nobody asked to write.
      drive: null,
      compute: ['BF16', 'F32'].map((dtype) => ({ dtype, dramBytesPerSecond: positive, flopsPerSecond: positive })),
      steps: { callSeconds: expect.any(Number), opSeconds: expect.any(Number) },
      executor: { name: expect.any(String), isa: expect.any(String), threads: positive, computeDtype: 'float32' },
      memory: {
        total: positive,
        cgroup: expect.toSatisfy(isLimit),
        constrained: expect.toSatisfy(isLimit),
        available: positive,
      },
      // Null without a graphics card.
      gpus: null,
      device: null,
    },
    model: null,
  });
});

function isLimit(value: unknown): boolean {
  return value === null || (typeof value === 'number' && value > 0);
}

describe('a model', () => {
  test('the plan at the memory granted, seconds of a token, and what would make it quicker', async () => {
    const dir = tinyModel();
    const options = ['--weights-memory', '160KB', '--context', '128', '--disk', '10KB/s'];
    const { machine, model } = await examined(dir, ...options);
    expect(machine.compute.map(({ dtype }: { dtype: string }) => dtype)).toEqual(['F32']);
    expect(model).toMatchObject({ dir, modelType: 'llama', dtype: 'F32', contextLength: 128 });
    expect(model.plan.streamedPerPass).toBeGreaterThan(0);
    const { token, first, speeds } = model.speed;
    expect(speeds.diskBytesPerSecond).toBe(1e4);
    expect(token.terms).toEqual(dense);
    expect(token.binds).toBe('disk');
    expect(token.streamedBytes).toBe(model.plan.streamedPerPass);
    expect(token.seconds).toBeGreaterThanOrEqual(token.terms.disk * 0.99);
    expect(first.seconds).toBeGreaterThan(token.seconds);
    const changes = model.advice.map(({ change }: { change: string }) => change);
    expect(changes).toContain('a drive twice as fast');
    expect(changes).toContainEqual(expect.stringContaining('bfloat16'));
    for (const { seconds } of model.advice) expect(seconds).toBeLessThan(token.seconds);
  });

  test('in words, from config.json alone', async () => {
    const dir = tinyModel();
    rmSync(path.join(dir, 'model.safetensors'));
    const options = ['--weights-memory', '160KB', '--context', '128', '--disk', '10KB/s'];
    const { code, stdout } = await airllm(['doctor', dir, ...options]);
    expect(code).toBe(0);
    for (const name of [
      'machine',
      'computing',
      'memory',
      'drive',
      'F32',
      'model',
      'resident',
      'a token',
      'the first',
    ]) {
      expect(stdout).toMatch(new RegExp(`^${name} +\\S`, 'm'));
    }
    expect(stdout).toMatch(/limited by the drive/);
    expect(stdout).toMatch(/^To go faster$/m);
    expect(stdout.split('\n').length).toBeLessThan(30);
  });

  test('too small to tell how fast the drive is', async () => {
    const { model } = await examined(tinyModel());
    expect(model).toMatchObject({ speed: null, advice: [] });
  });
});
