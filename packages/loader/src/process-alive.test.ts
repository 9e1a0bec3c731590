import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { isProcessAlive } from './process-alive';

test('tells a process that runs from one that ended', () => {
  expect(isProcessAlive(process.pid)).toBe(true);
  const { pid } = spawnSync(process.execPath, ['--version']);
  expect(isProcessAlive(pid)).toBe(false);
});
