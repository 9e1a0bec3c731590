import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import { errnoName, isProcessAlive } from '@airllm/loader';
import { TargetLockedError } from '../errors';

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Tells a process from a later one with the same number; null where the system does not say. */
  readonly started: string | null;
  readonly token: string;
}

/** A lock file's owner, as long as it is held. */
export class TargetLock {
  readonly #file: string;
  readonly #token: string;

  private constructor(file: string, token: string) {
    this.#file = file;
    this.#token = token;
  }

  /** Throws `TargetLockedError` if a living process holds it; takes over from a dead one. */
  static async acquire(file: string): Promise<TargetLock> {
    const me: Owner = {
      pid: process.pid,
      host: os.hostname(),
      started: await startOf(process.pid),
      token: randomUUID(),
    };
    for (let attempt = 0; ; attempt++) {
      if (await create(file, JSON.stringify(me))) return new TargetLock(file, me.token);
      const text = await readOrNull(file);
      if (text === null) continue;
      const owner = parseOwner(text);
      if (owner !== null && ((await isAlive(owner)) || attempt >= 5)) {
        throw new TargetLockedError({ lockFile: file, pid: owner.pid, host: owner.host });
      }
      await takeAway(file, text);
    }
  }

  /** Whether a living process holds it. */
  static async isHeld(file: string): Promise<boolean> {
    const owner = parseOwner((await readOrNull(file)) ?? '');
    return owner !== null && isAlive(owner);
  }

  /** Removes the lock if it is still ours. */
  async release(): Promise<void> {
    const text = await readOrNull(this.#file);
    if (text !== null && parseOwner(text)?.token === this.#token) await rm(this.#file, { force: true });
  }
}

/** Appears with its content or not at all, and never over another. */
async function create(file: string, text: string): Promise<boolean> {
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, text, { flag: 'wx' });
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (errnoName(error) === 'EEXIST') return false;
    // No hard links here (FAT, some network drives): a reader may see it empty for a moment.
    return createPlain(file, text);
  } finally {
    await rm(draft, { force: true });
  }
}

async function createPlain(file: string, text: string): Promise<boolean> {
  try {
    await writeFile(file, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (errnoName(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Of two that find the same dead lock only one may remove it, and never the lock the other then made. */
async function takeAway(file: string, text: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`;
  try {
    await rename(file, aside);
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return;
    throw error;
  }
  if ((await readOrNull(aside)) !== text) await link(aside, file).catch(() => undefined);
  await rm(aside, { force: true });
}

async function readOrNull(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return null;
    throw error;
  }
}

function parseOwner(text: string): Owner | null {
  try {
    const owner = JSON.parse(text) as Owner;
    return typeof owner.pid === 'number' && typeof owner.host === 'string' ? owner : null;
  } catch {
    return null;
  }
}

/** A process of another machine cannot be asked: it counts as alive. */
async function isAlive(owner: Owner): Promise<boolean> {
  if (owner.host !== os.hostname()) return true;
  if (!isProcessAlive(owner.pid)) return false;
  const started = await startOf(owner.pid);
  return started === null || owner.started === null || started === owner.started;
}

/** When a process began, in the kernel's ticks since boot (Linux). */
async function startOf(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // Field 22; the name in parentheses may hold spaces.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
