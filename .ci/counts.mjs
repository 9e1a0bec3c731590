// Adds up test results over all packages: a vitest reporter that appends each package's counts and failures to the file
// named by AIRLLM_TEST_COUNTS, and the reader of that file. See vitest.config.ts and test.mjs.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

export default class CountReporter {
  constructor(file) {
    this.file = file;
  }

  onTestRunStart() {
    appendFileSync(this.file, `${JSON.stringify({ started: process.cwd() })}\n`);
  }

  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const failures = unhandledErrors.map((error) => describeFailure('an error outside every test', [error]));
    const failedFiles = unhandledErrors.map(() => null);
    for (const module of modules) {
      const file = path.relative(process.cwd(), module.moduleId);
      if (module.state() === 'failed') failedFiles.push(module.moduleId);
      // A file that cannot be loaded, or a failing beforeAll, has no failed test of its own.
      if (module.state() === 'failed' && [...module.children.allTests('failed')].length === 0) {
        counts.failed++;
        const hooks = [...module.children.allSuites()].flatMap((suite) => suite.errors());
        failures.push(describeFailure(file, [...module.errors(), ...hooks]));
      }
      for (const test of module.children.allTests()) {
        const { state, errors } = test.result();
        // 'pending': never ran, because its file or suite failed, which is counted already.
        if (state !== 'pending') counts[state]++;
        if (state === 'failed') failures.push(describeFailure(`${file} > ${test.fullName}`, errors ?? []));
      }
    }
    appendFileSync(this.file, `${JSON.stringify({ ...counts, failures, failedFiles, cwd: process.cwd() })}\n`);
  }
}

/** One failure in a few lines: a log of thousands of lines is often kept by its end alone. */
function describeFailure(name, errors) {
  const messages = errors.map((error) => {
    const at = error.stacks?.[0];
    const where = at ? ` (${path.relative(process.cwd(), at.file)}:${at.line})` : '';
    return `${String(error.message).slice(0, 600)}${where}`;
  });
  return [name, ...messages].join('\n').replaceAll('\n', '\n  ');
}

/** What each run counted. One that began and did not end, killed perhaps, counts as a failure. */
export function readCounts(file) {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  const all = [];
  let open;
  const close = () => {
    if (open !== undefined) all.push(died(open));
    open = undefined;
  };
  for (const line of lines) {
    const { started, ...counts } = JSON.parse(line);
    if (started === undefined) all.push(counts);
    else close();
    open = started;
  }
  close();
  return all;
}

function died(cwd) {
  const failure = `${path.basename(cwd)}: its tests ended before they could report; their output is above`;
  return { passed: 0, failed: 1, skipped: 0, failures: [failure], failedFiles: [null], cwd };
}

export function sumCounts(all) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const counts of all) for (const key of Object.keys(sum)) sum[key] += counts[key];
  return sum;
}

/** Files with a failed test, each with the folder it ran in; undefined where something failed that no file stands for. */
export function listFailedFiles(all) {
  if (all.some(({ failedFiles }) => failedFiles.includes(null))) return undefined;
  return all.flatMap(({ failedFiles, cwd }) => failedFiles.map((file) => ({ file, cwd })));
}

/** Every failed test with its file and message, in the order they ran. */
export function listFailures(all) {
  return all.flatMap(({ failures }) => failures);
}

export function formatCounts({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
