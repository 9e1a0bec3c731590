import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { formatCounts, listFailedFiles, listFailures, readCounts, sumCounts } from './counts.mjs';

const dir = mkdtempSync(path.join(os.tmpdir(), 'airllm-counts-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Runs vitest on one file with the reporter and returns what it counted. */
function count(name: string, ...lines: string[]) {
  const folder = mkdtempSync(path.join(dir, 'case-'));
  const reporter = JSON.stringify(fileURLToPath(new URL('./counts.mjs', import.meta.url)));
  const file = path.join(folder, 'counts');
  writeFileSync(path.join(folder, `${name}.test.mjs`), lines.join('\n'));
  writeFileSync(
    path.join(folder, 'vitest.config.mjs'),
    `import C from ${JSON.stringify(pathToFileURL(JSON.parse(reporter)).href)};
     export default { test: { globals: true, reporters: [new C(${JSON.stringify(file)})] } };`,
  );
  const vitest = path.join(path.dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
  const { status } = spawnSync(process.execPath, [vitest, 'run', '--root', folder], { encoding: 'utf8' });
  const all = readCounts(file);
  const files = listFailedFiles(all)?.map(({ file }: { file: string }) => path.basename(file));
  return { status, ...sumCounts(all), failures: listFailures(all), files };
}

test('counts passed, failed and skipped tests', () => {
  const result = count(
    'mixed',
    "test('a', () => {}); test('b', () => {}); test.skip('c', () => {}); test.todo('d');",
    "describe.skipIf(true)('e', () => { test('f', () => {}); });",
    "test('g', () => { throw new Error('red'); });",
  );
  expect(result).toMatchObject({ status: 1, passed: 2, failed: 1, skipped: 3, files: ['mixed.test.mjs'] });
  expect(result.failures).toEqual([expect.stringMatching(/mixed\.test\.mjs > g\n {2}red \(.*mixed\.test\.mjs:3\)$/)]);
});

test('a file that does not load, a failing hook and a stray rejection are failures', () => {
  expect(count('broken', 'throw new Error("at import");')).toMatchObject({
    status: 1,
    passed: 0,
    failed: 1,
    failures: [expect.stringMatching(/broken\.test\.mjs\n {2}at import/)],
    files: ['broken.test.mjs'],
  });
  expect(
    count('hook', "describe('x', () => { beforeAll(() => { throw new Error('hook'); }); test('y', () => {}); });"),
  ).toMatchObject({ status: 1, passed: 0, failed: 1, failures: [expect.stringMatching(/hook\.test\.mjs\n {2}hook/)] });
  expect(count('stray', "test('z', () => { Promise.reject(new Error('nobody listens')); });")).toMatchObject({
    status: 1,
    passed: 1,
    failed: 1,
    failures: [expect.stringContaining('nobody listens')],
    files: undefined,
  });
});

test('a run that ends before it can report is a failure', () => {
  expect(count('killed', "test('a', () => process.kill(process.ppid, 'SIGKILL'));")).toMatchObject({
    passed: 0,
    failed: 1,
    files: undefined,
    failures: [expect.stringContaining('ended before they could report')],
  });
});

test('sums over packages, and of none', () => {
  expect(
    formatCounts(
      sumCounts([
        { passed: 2, failed: 0, skipped: 1 },
        { passed: 3, failed: 1, skipped: 0 },
      ]),
    ),
  ).toBe('5 passed, 1 failed, 1 skipped');
  expect(formatCounts(sumCounts(readCounts(path.join(dir, 'absent'))))).toBe('0 passed, 0 failed, 0 skipped');
});
