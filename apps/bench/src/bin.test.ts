import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { placeTokenizer } from './tokenizer-files';

const dir = mkdtempSync(path.join(os.tmpdir(), 'airllm bench#'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const bin = fileURLToPath(new URL('../dist/bin.js', import.meta.url));
const bench = (...args: string[]) => promisify(execFile)(process.execPath, [bin, ...args]);

test.skipIf(process.platform === 'win32')('the shard bench prints its ratio and peak, and cleans up', async () => {
  const { stdout } = await bench('shard', '--shape', 'tiny', '--layers', '2', '--rounds', '1', '--work', dir);
  expect(stdout).toMatch(/^round 1.*: cp .* GB\/s, split .* GB\/s, verify .* GB\/s, peak RSS \d+ MB$/m);
  expect(stdout).toMatch(/^split : cp = \d+ %, peak RSS \d+ MB$/m);
  expect(readdirSync(dir)).toEqual([]);
});

test('the attention bench says how much of a layer attention is, for each kept dtype', async () => {
  const { stdout } = await bench('attention', '--shape', 'tiny', '--context', '40', '--rows', '3', '--rounds', '2');
  for (const dtype of ['float32', 'bfloat16', 'int8']) {
    expect(stdout).toMatch(new RegExp(`^\\| ${dtype} \\| 40 \\| 3 \\| .* \\| [\\d.]+ % \\|$`, 'm'));
  }
});

test('the batch bench compares many sequences with one, and holds them to the same tokens', async () => {
  const folder = path.join(dir, 'tiny');
  await bench('synthetic', folder, '--shape', 'tiny');
  const { stdout } = await bench('batch', folder, '--sequences', '6', '--prompt', '5', '--new', '4');
  expect(stdout).toMatch(/^\| 6 of 4 tokens \| [\d.]+ \| 4 \|/m);
  expect(stdout).toMatch(/^[\d.]+ × the tokens per second; at the end \d+ rows a pass \(planned\)$/m);
  expect(stdout).toMatch(/ in company: the same$/m);
  rmSync(folder, { recursive: true });
});

test('the tokenizer bench tells seconds and memory', async () => {
  const folder = mkdtempSync(path.join(dir, 'tokenizer'));
  await placeTokenizer(folder, 300);
  const { stdout } = await bench('tokenizer', folder, '--rounds', '1');
  expect(stdout).toMatch(/^\| .* \| [\d.]+ \| [\d.]+ \| [\d.]+ \| -?\d+ MB \| -?\d+ MB \| .* \|$/m);
  rmSync(folder, { recursive: true });
});

test('without a known name it lists the benches', async () => {
  const failure = await bench('nonsense').catch((error) => error);
  expect(failure.code).toBe(2);
  for (const name of [
    'disk',
    'residency',
    'resident',
    'startup',
    'tokenizer',
    'memory',
    'attention',
    'batch',
    'estimate',
    'shard',
  ]) {
    expect(failure.stderr).toMatch(new RegExp(`^bench ${name} `, 'm'));
  }
  expect(failure.stderr).toMatch(/^bench synthetic /m);
});

test.each([
  [['residency'], /^usage: bench residency /],
  [['startup', '--shape', 'nonsense'], /--shape: expected tiny, .*nonsense/],
  [['disk', dir, '--memory', 'much'], /--memory/],
  [['resident', dir, '--nonsense'], /--nonsense/],
])('%j is told what is wrong, without a stack', async (args, message) => {
  const failure = await bench(...args).catch((error) => error);
  expect(failure.code).toBe(2);
  expect(failure.stderr).toMatch(message);
  expect(failure.stderr).not.toMatch(/^\s+at /m);
});

test('the memory-rate bench prints the rate at which memory is read', async () => {
  const { stdout } = await bench('memory-rate', '--threads', '1', '--rounds', '1');
  expect(JSON.parse(stdout).bytesPerSecond).toBeGreaterThan(0);
});
