// Adds up test results over all packages: a vitest reporter that appends each package's counts to the file named by
// AIRLLM_TEST_COUNTS, and the reader of that file. See vitest.config.ts and test.mjs.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';

export default class CountReporter {
  constructor(file) {
    this.file = file;
  }

  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      // A file that cannot be loaded, or a failing beforeAll, has no failed test of its own.
      if (module.state() === 'failed' && [...module.children.allTests('failed')].length === 0) counts.failed++;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        // 'pending': never ran, because its file or suite failed, which is counted already.
        if (state !== 'pending') counts[state]++;
      }
    }
    appendFileSync(this.file, `${JSON.stringify(counts)}\n`);
  }
}

export function readCounts(file) {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

export function sumCounts(all) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const counts of all) for (const key of Object.keys(sum)) sum[key] += counts[key];
  return sum;
}

export function formatCounts({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
