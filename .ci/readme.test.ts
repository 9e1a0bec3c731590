import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readmeExamples } from './readme';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(os.tmpdir(), 'airllm readme#'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function readme(...lines: string[]): string {
  const file = path.join(dir, 'README.md');
  writeFileSync(file, lines.join('\n'));
  return file;
}

test('finds the ts blocks and only those, with their line', () => {
  const found = readmeExamples(
    readme('# a', '```ts', 'one();', 'two();', '```', '```js', 'no();', '```', '```ts', '```'),
  );
  expect(found.map(({ code, line }) => ({ code, line }))).toEqual([
    { code: 'one();\ntwo();\n', line: 3 },
    { code: '\n', line: 10 },
  ]);
});

test('runs a block as a typed module of its package, in the folder given', async () => {
  writeFileSync(path.join(dir, 'package.json'), '{"name":"self","exports":"./self.mjs"}');
  writeFileSync(path.join(dir, 'self.mjs'), 'export const answer = 42;');
  writeFileSync(path.join(dir, 'data.txt'), 'here');
  const [example] = readmeExamples(
    readme(
      '```ts',
      "import { readFile } from 'node:fs/promises';",
      "import { answer } from 'self';",
      'const n: number = answer;',
      "console.log(n, await readFile('data.txt', 'utf8'), 'PLACE', process.env.GIVEN);",
      '```',
    ),
  );
  const result = await example!.run({ cwd: dir, env: { GIVEN: 'yes' }, replace: { PLACE: '$& kept' } });
  expect(result).toEqual({ stdout: '42 here $& kept yes\n', stderr: '' });
  expect(readdirSync(path.join(dir, '.readme-examples'))).toEqual([]);
});

test('a block may use what Node 20 cannot parse yet', async () => {
  const lines = [
    '{',
    "  await using model = { ids: [1], [Symbol.asyncDispose]: async () => console.log('disposed') };",
    '  console.log(model.ids);',
    '}',
  ];
  const [example] = readmeExamples(readme('```ts', ...lines, '```'));
  expect(await example!.run()).toEqual({ stdout: '[ 1 ]\ndisposed\n', stderr: '' });
});

test('a block that fails, does not parse or replaces nothing is an error', async () => {
  const [thrower, garbled] = readmeExamples(
    readme('```ts', 'throw new Error("boom");', '```', '```ts', 'const = 1;', '```'),
  );
  await expect(thrower!.run()).rejects.toThrow(/README\.md:2: ended with exit code 1[\s\S]*boom/);
  expect(() => garbled!.run()).toThrow(/README\.md:5/);
  expect(() => thrower!.run({ replace: { absent: 'x' } })).toThrow(/absent/);
});

test('a README without a block is an error', () => {
  expect(() => readmeExamples(readme('# nothing'))).toThrow(/no ```ts block/);
});
