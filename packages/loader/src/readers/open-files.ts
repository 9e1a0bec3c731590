import { resolve } from 'node:path';
import { DisposedError, ReadError } from '../errors';
import type { DriveThreads } from './drive-threads';
import type { OpenReply, OpenRequest } from './protocol';

/** An open file of a reader, counted while reads use it. */
export interface OpenFile extends OpenReply {
  readonly path: string;
}

interface Slot {
  file: Promise<OpenFile>;
  users: number;
}

/**
 * A checkpoint of hundreds of shards must not use up the process's descriptors (1024 by default on Linux); a file may
 * have two.
 */
const MAX_OPEN_FILES = 128;

/** Files are opened by the threads on first use and kept open; the least recently used unused ones give way. */
export class OpenFiles {
  /** In order of use, the oldest first. */
  readonly #slots = new Map<string, Slot>();
  /** Whether a device (st_dev) knows direct I/O, as a probe on one of its files has shown. */
  readonly #plainDevices = new Set<number>();
  readonly #mode: OpenRequest['mode'];
  readonly #useCache: boolean;
  readonly #threads: DriveThreads;

  constructor(threads: DriveThreads, options: { mode: OpenRequest['mode']; useCache: boolean }) {
    this.#threads = threads;
    this.#mode = options.mode;
    this.#useCache = options.useCache;
  }

  /** Runs `use` with the open file, which stays open until it settles. */
  async with<T>(path: string, use: (file: OpenFile) => Promise<T>): Promise<T> {
    const key = resolve(path);
    let slot = this.#slots.get(key);
    if (slot === undefined) slot = { file: this.#open(key, this.#mode), users: 0 };
    else this.#slots.delete(key);
    this.#slots.set(key, slot);
    slot.users++;
    try {
      return await use(await slot.file);
    } catch (error) {
      // A file that could not be opened, or is not what it was, is opened anew next time.
      if (ReadError.isInstance(error)) this.#forget(key, slot);
      throw error;
    } finally {
      slot.users--;
      if (this.#slots.get(key) !== slot && slot.users === 0) this.#close(slot);
      this.#evict();
    }
  }

  /** The same file without direct I/O, for a drive that takes it for some blocks and not for others. */
  async degrade(path: string): Promise<void> {
    const key = resolve(path);
    const slot = this.#slots.get(key);
    if (slot !== undefined) this.#forget(key, slot);
    const file = this.#open(key, 'plain');
    this.#slots.set(key, { file, users: 0 });
    await file;
  }

  async close(): Promise<void> {
    const slots = [...this.#slots.values()];
    this.#slots.clear();
    await Promise.all(slots.map((slot) => this.#close(slot)));
  }

  async #open(path: string, mode: OpenRequest['mode']): Promise<OpenFile> {
    const plainDevices = [...this.#plainDevices];
    const request: OpenRequest = { op: 'open', path, mode, plainDevices, useCache: this.#useCache };
    const outcome = await this.#threads.submit(request, { cancelled: false });
    if (outcome === undefined) throw new DisposedError('reader');
    if (outcome.failure !== undefined) {
      const { errno, message } = outcome.failure;
      throw new ReadError({
        file: path,
        offset: 0,
        expected: 0,
        found: 0,
        errno,
        reason: `cannot be opened: ${message}`,
      });
    }
    const reply = outcome.value as OpenReply;
    if (mode === 'direct-or-plain' && !reply.direct) this.#plainDevices.add(reply.device);
    return { ...reply, path };
  }

  #forget(key: string, slot: Slot): void {
    if (this.#slots.get(key) === slot) this.#slots.delete(key);
    if (slot.users === 0) this.#close(slot);
  }

  #evict(): void {
    for (const [key, slot] of this.#slots) {
      if (this.#slots.size <= MAX_OPEN_FILES) return;
      if (slot.users === 0) this.#forget(key, slot);
    }
  }

  async #close(slot: Slot): Promise<void> {
    try {
      const { fd, mapping, size, cache } = await slot.file;
      await this.#threads.submit({ op: 'close', fd, mapping, size, cache }, { cancelled: false });
    } catch {
      // It never opened.
    }
  }
}
