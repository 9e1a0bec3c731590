import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { airllm } from '../testing/fake-io';
import { temporaryFolder } from '../testing/temporary';
import { tinyModel } from '../testing/tiny-model';

const run = async (...argv: string[]) => airllm(['run', tinyModel(), 'Hello', '--json', '-q', ...argv]);
const said = async (...argv: string[]) =>
  JSON.parse((await run('--max-new-tokens', '5', '--ignore-eos', ...argv)).stdout);

test('tokens can be banned, preferred and told the probability of', async () => {
  const plain = await said();
  const { ids } = await said('--ban', `${plain.ids[0]}`, '--ban', `${plain.ids[1]}`);
  expect(ids[0]).not.toBe(plain.ids[0]);
  expect(ids).not.toContain(plain.ids[1]);
  expect((await said('--logit-bias', '42=1000', '--logit-bias', '43=-5')).ids).toEqual([42, 42, 42, 42, 42]);
  const { logprobs } = await said('--top-logprobs', '2');
  expect(logprobs.map(({ id, top }: { id: number; top: object[] }) => [id, top.length])).toEqual(
    plain.ids.map((id: number) => [id, 2]),
  );
});

test('an answer is kept to a schema', async () => {
  const file = path.join(temporaryFolder(), 'schema.json');
  writeFileSync(file, '{"enum": ["left", "right"]}');
  const { code, stdout } = await run('--json-schema', file, '--max-new-tokens', '20');
  expect(code).toBe(0);
  // The tiny tokenizer has no decoder: tokens come with a space between them.
  expect(JSON.parse(stdout).text.replaceAll(' ', '')).toMatch(/^"(left|right)"$/);
});

describe('what makes no sense is a mistake of usage', () => {
  test.each([
    ['--ban', 'x'],
    ['--ban', '-1'],
    ['--logit-bias', '5'],
    ['--logit-bias', '5='],
    ['--logit-bias', '5=1=2'],
    ['--logit-bias', 'x=1'],
    ['--logit-bias', '99999=1'],
    ['--top-logprobs', '-1'],
    ['--json-schema', '/no/such/file'],
  ])('%s %s', async (flag, value) => {
    const { code, stderr } = await run(`${flag}=${value}`);
    expect(code).toBe(2);
    expect(stderr).toContain(`${flag}:`);
  });
});
