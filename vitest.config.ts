import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import CountReporter from './.ci/counts.mjs';

// Tests run on the sources of every package, so a change is seen without a build. What runs in a worker thread or
// in the native library comes from dist (see each package's "imports").
const packages = fileURLToPath(new URL('./packages', import.meta.url));

// `npm test` sums the results of all packages.
const countsFile = process.env.AIRLLM_TEST_COUNTS;

export default defineConfig({
  resolve: { alias: [{ find: /^@airllm\/([a-z]+)$/, replacement: `${packages}/$1/src/index.ts` }] },
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**'],
    // For what hangs, not for what is slow: tests run on machines that have little time for them.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 60_000,
    expect: { poll: { timeout: 60_000 } },
    // Nothing is looked for in the network; tests of downloads have a Hub of their own, and say so.
    env: { HF_HUB_OFFLINE: '1' },
    reporters: ['default', ...(countsFile ? [new CountReporter(countsFile)] : [])],
  },
});
