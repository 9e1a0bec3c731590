import { writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { TargetLockedError } from '../errors';
import { temporaryFolder } from '../testing/temporary';
import { TargetLock } from './lock';
import { type WhenUnlockedOptions, whenUnlocked } from './when-unlocked';

/** Work that needs a lock which somebody else has; `waits` resolves with whom it waits for. */
async function locked(options: WhenUnlockedOptions = {}) {
  const file = path.join(temporaryFolder(), 'lock');
  const held = await TargetLock.acquire(file);
  const work = async () => {
    await (await TargetLock.acquire(file)).release();
    return 'done';
  };
  const told: TargetLockedError[] = [];
  let result!: Promise<string>;
  const waits = new Promise<void>((resolve) => {
    const onWait = (holder: TargetLockedError) => {
      told.push(holder);
      resolve();
    };
    result = whenUnlocked(work, { ...options, onWait });
    result.catch(() => {});
  });
  return { file, held, told, waits, result };
}

test('work is done when the other run has ended, and is told whom it waits for', async () => {
  const { file, held, told, waits, result } = await locked();
  await waits;
  expect(told).toMatchObject([{ pid: process.pid, host: os.hostname(), lockFile: file }]);
  await held.release();
  expect(await result).toBe('done');
  expect(told).toHaveLength(1);
});

test('work is done when the other process has died', async () => {
  const { file, waits, result } = await locked();
  await waits;
  // No process has this number.
  writeFileSync(file, JSON.stringify({ pid: 2 ** 22 + 1, host: os.hostname(), started: null, token: 'x' }));
  expect(await result).toBe('done');
});

test('an abort ends the wait', async () => {
  const controller = new AbortController();
  const { waits, result } = await locked({ signal: controller.signal });
  await waits;
  controller.abort(new Error('enough'));
  await expect(result).rejects.toThrow('enough');
});

test('other errors pass', async () => {
  const fails = async () => {
    throw new Error('no such thing');
  };
  await expect(whenUnlocked(fails)).rejects.toThrow('no such thing');
});
