// `npm test`: builds everything, runs every package's tests one package after the other, and ends with the sum.
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { formatCounts, listFailedFiles, listFailures, readCounts, sumCounts } from './counts.mjs';
import { install, pnpm, root, verbose } from './toolchain.mjs';

export async function test(filters) {
  let counts;
  try {
    // Vite takes these for the start of a query and finds no test. The packages themselves work in such a folder, and
    // pack.mjs checks that.
    if (/[#?]/.test(root)) throw new Error(`vitest cannot run in ${root}: move it to a path without # and ?`);
    await install();
    counts = await runTests(filters);
  } catch (error) {
    console.error(`error: ${error.message}`);
    counts = { passed: 0, failed: 1, skipped: 0 };
  }
  console.log(formatCounts(counts));
  return counts.failed === 0 ? 0 : 1;
}

async function runTests(filters) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'airllm-test-'));
  try {
    console.error('Building …');
    const built = await pnpm(['exec', 'turbo', 'run', 'build', ...filters], {
      output: verbose ? 'stderr' : 'on failure',
    });
    if (built !== 0) throw new Error(`the build ended with ${built}; its output is above`);

    const file = path.join(dir, 'counts');
    const env = { AIRLLM_TEST_COUNTS: file };
    // One package at a time: two suites on two cores starve each other's timing checks. --continue: count them all.
    const turbo = ['exec', 'turbo', 'run', 'test', ...filters, '--concurrency=1', '--continue', '--log-order=stream'];
    const statuses = [await pnpm(turbo, { env })];
    if (filters.length === 0) {
      statuses.push(await pnpm(['exec', 'vitest', 'run', '--config', '../vitest.config.ts', '--root', '.ci'], { env }));
    }

    const all = readCounts(file);
    const counts = sumCounts(all);
    const alone = counts.failed > 0 ? await runAlone(listFailedFiles(all), dir) : undefined;
    if (alone?.failed === 0) {
      for (const failure of listFailures(all)) console.log(`failed once, passed alone: ${failure}`);
      return { ...counts, passed: counts.passed + counts.failed, failed: 0 };
    }
    for (const failure of listFailures(all)) console.log(`failed: ${failure}`);
    // A suite that died before it could report must not pass for one without failures.
    if (counts.failed === 0 && statuses.some((status) => status !== 0)) {
      console.error('error: a test run failed without reporting a failed test; its output is above');
      counts.failed++;
    }
    return counts;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** More than these are no accident of timing. */
const FILES_ALONE = 3;

/**
 * Runs files that failed once more, each by itself: a test that hangs on what else the machine does is named as such,
 * apart from one that fails. Undefined where there is nothing to learn from that.
 */
async function runAlone(files, dir) {
  if (files === undefined || files.length === 0 || files.length > FILES_ALONE) return undefined;
  const counts = path.join(dir, 'alone');
  const config = path.join(root, 'vitest.config.ts');
  for (const { file, cwd } of files) {
    const args = ['exec', 'vitest', 'run', '--config', config, '--root', '.', file];
    const status = await pnpm(args, { cwd, env: { AIRLLM_TEST_COUNTS: counts } });
    if (status !== 0) return undefined;
  }
  const all = readCounts(counts);
  return all.length === files.length ? sumCounts(all) : undefined;
}
