import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { airllm } from '../testing/fake-io';
import { temporaryFolder } from '../testing/temporary';
import { tinyModel } from '../testing/tiny-model';

test('a text has one perplexity, whatever the budget', async () => {
  const dir = tinyModel();
  const file = path.join(temporaryFolder(), 'text.txt');
  writeFileSync(file, 'The quick brown fox jumps over the lazy dog. '.repeat(8));
  const score = async (...argv: string[]) =>
    JSON.parse((await airllm(['perplexity', dir, file, '--json', '--context', '64', ...argv])).stdout);
  const whole = await score();
  expect(whole).toMatchObject({ tokens: 354, windows: 6 });
  const refused = await airllm(['perplexity', dir, file, '--context', '64', '--weights-memory', '1']);
  const least = refused.stderr.match(/try --weights-memory (\d+)/)![1]!;
  expect(await score('--weights-memory', least)).toEqual(whole);
  const { stdout, code } = await airllm(['perplexity', dir, file, '--context', '64']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^perplexity +\d+\.\d{4} ± \d+\.\d{4}$/m);
});

test('a file that is not there is an error', async () => {
  expect((await airllm(['perplexity', tinyModel(), '/no/such/text'])).code).not.toBe(0);
});
