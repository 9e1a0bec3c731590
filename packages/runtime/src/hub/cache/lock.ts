import { open, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ForeignFunction, foreignAvailable, isProcessAlive, loadLibrary } from '@airllm/loader';
import { ensureFolder, writeFailure } from './files';

/** A lock that one process at a time holds. */
export interface FileLock {
  release(): Promise<void>;
}

const LOCK_EX_NB = 2 | 4;
/** A holder of a soft lock renews it this often, and is taken for dead when it has not done so for several times as long. */
const RENEW_MS = 5_000;
const STALE_MS = 30_000;
const FIRST_PAUSE_MS = 20;

/**
 * Waits until this process holds the lock file. Where the system has flock it is the lock of huggingface_hub (filelock),
 * so that Python and we wait for each other, and it ends with its process, however that dies. Elsewhere a second file names
 * the holder, and is taken over from the dead. `onWait` is told where somebody else holds it.
 */
export async function acquireLock(file: string, signal?: AbortSignal, onWait?: () => void): Promise<FileLock> {
  await ensureFolder(dirname(file));
  const fail = async (error: unknown) => {
    throw await writeFailure(error, file, 0);
  };
  const flock = flockFunction();
  const hasFlock = flock && (await flockWorks(file, flock).catch(fail));
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(500, pause * 1.5)) {
    signal?.throwIfAborted();
    const lock = await (hasFlock ? tryFlock(file, flock) : trySoft(file)).catch(fail);
    if (lock) return lock;
    if (pause === FIRST_PAUSE_MS) onWait?.();
    await sleep(pause, undefined, signal ? { signal } : {}).catch(() => {});
  }
}

type Flock = ForeignFunction<[number, number], number>;

function flockFunction(): Flock | undefined {
  if (process.platform === 'win32' || !foreignAvailable()) return undefined;
  try {
    return loadLibrary(null).function('flock', 'int', ['int', 'int']);
  } catch {
    return undefined;
  }
}

/** Some network drives know no flock: then it fails on a file that nobody else can have locked, too. */
async function flockWorks(file: string, flock: Flock): Promise<boolean> {
  const probe = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  const handle = await open(probe, 'w');
  try {
    return flock(handle.fd, LOCK_EX_NB) === 0;
  } finally {
    await handle.close();
    await rm(probe, { force: true });
  }
}

async function tryFlock(file: string, flock: Flock): Promise<FileLock | null> {
  const handle = await open(file, 'a', 0o664);
  // Some versions of filelock remove the file when they are done: then this is a lock on nothing.
  const isCurrent = async () => {
    const [held, named] = await Promise.all([handle.stat(), stat(file).catch(() => null)]);
    return held.ino === named?.ino && held.dev === named.dev;
  };
  if (flock(handle.fd, LOCK_EX_NB) === 0 && (await isCurrent())) return { release: () => handle.close() };
  await handle.close();
  return null;
}

interface Holder {
  readonly pid: number;
  readonly host: string;
}

export async function trySoft(file: string): Promise<FileLock | null> {
  const owner = `${file}.owner`;
  try {
    await writeFile(owner, JSON.stringify({ pid: process.pid, host: hostname() } satisfies Holder), { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (await isAbandoned(owner)) await rm(owner, { force: true });
    return null;
  }
  const renewal = setInterval(() => {
    const now = new Date();
    utimes(owner, now, now).catch(() => {});
  }, RENEW_MS).unref();
  return {
    async release() {
      clearInterval(renewal);
      await rm(owner, { force: true });
    },
  };
}

async function isAbandoned(owner: string): Promise<boolean> {
  const [stats, text] = await Promise.all([stat(owner).catch(() => null), readFile(owner, 'utf8').catch(() => '')]);
  if (stats === null) return false;
  if (Date.now() - stats.mtimeMs > STALE_MS) return true;
  try {
    const { pid, host } = JSON.parse(text) as Holder;
    return host === hostname() && !isProcessAlive(pid);
  } catch {
    // Being written right now, or torn: its age will tell.
    return false;
  }
}
