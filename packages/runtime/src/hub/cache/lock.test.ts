import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFailed, test } from 'vitest';
import { temporaryFolder } from '../../testing/temporary';
import { acquireLock, type FileLock, trySoft } from './lock';

const lockFile = () => join(temporaryFolder(), '.locks', 'models--a--b', 'x.lock');

/** Resolves to undefined while somebody else has it. */
async function within(ms: number, lock: Promise<FileLock>): Promise<FileLock | undefined> {
  return Promise.race([lock, sleep(ms).then(() => undefined)]);
}

describe('a lock', () => {
  test('has one holder at a time', async () => {
    const file = lockFile();
    const first = await acquireLock(file);
    const second = acquireLock(file);
    expect(await within(150, second)).toBeUndefined();
    await first.release();
    await (await second).release();
  });

  test('is waited for no longer than the signal allows', async () => {
    const file = lockFile();
    const first = await acquireLock(file);
    const reason = new Error('enough');
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 50);
    await expect(acquireLock(file, controller.signal)).rejects.toBe(reason);
    await first.release();
  });

  test('survives that filelock removes its file', async () => {
    const file = lockFile();
    const first = await acquireLock(file);
    rmSync(file);
    const second = await acquireLock(file);
    await first.release();
    expect(
      await within(
        100,
        acquireLock(file, AbortSignal.timeout(100)).catch(() => sleep(1000) as never),
      ),
    ).toBeUndefined();
    await second.release();
  });

  // util-linux; the same call as Python's filelock makes.
  test.skipIf(!existsSync('/usr/bin/flock'))('is the one that other programs take with flock', async () => {
    const file = lockFile();
    mkdirSync(dirname(file), { recursive: true });
    const holder = spawn('/usr/bin/flock', [file, 'sh', '-c', 'echo held; sleep 60'], { detached: true });
    // Killed with its child: the lock ends with them.
    const kill = () => void process.kill(-(holder.pid as number), 'SIGKILL');
    onTestFailed(kill);
    await once(holder.stdout, 'data');
    const waiting = acquireLock(file);
    expect(await within(150, waiting)).toBeUndefined();
    kill();
    await (await waiting).release();
  });
});

describe('without flock a lock', () => {
  const owner = (file: string) => `${file}.owner`;
  const prepare = () => {
    const file = lockFile();
    mkdirSync(dirname(file), { recursive: true });
    return file;
  };

  test('has one holder at a time', async () => {
    const file = prepare();
    const first = await trySoft(file);
    expect(await trySoft(file)).toBeNull();
    await first?.release();
    await (await trySoft(file))?.release();
    expect(existsSync(owner(file))).toBe(false);
  });

  test('is taken over from a dead process, and from one that has been silent', async () => {
    const file = prepare();
    const dead = spawn(process.execPath, ['-e', '']);
    const { pid } = dead;
    await once(dead, 'exit');
    writeFileSync(owner(file), JSON.stringify({ pid, host: hostname() }));
    expect(await trySoft(file)).toBeNull();
    const taken = await trySoft(file);
    expect(taken).not.toBeNull();
    await taken?.release();
    writeFileSync(owner(file), JSON.stringify({ pid: 1, host: 'elsewhere' }));
    expect(await trySoft(file)).toBeNull();
    expect(existsSync(owner(file))).toBe(true);
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(owner(file), longAgo, longAgo);
    expect(await trySoft(file)).toBeNull();
    expect(existsSync(owner(file))).toBe(false);
  });
});
