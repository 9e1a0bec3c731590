import { stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { KvStateSpec } from '@airllm/kernels';
import { DisposedError, ScratchFile, type ScratchStats } from '@airllm/loader';
import type { DiskStatePlan } from '../plan/types';
import { StateSpaceError } from '../state-errors';
import { DiskState, type StateOwner } from './disk-state';
import { FileSpace } from './file-space';

/** Beyond the blocks: what the file system keeps of them. */
const MARGIN_BYTES = 2 ** 20;

/** The file that states of all sequences share, made with the first of them and gone with the engine. */
export class StateStore implements StateOwner {
  readonly #dir: string;
  readonly space = new FileSpace();
  readonly states = new Set<DiskState>();
  #file: Promise<ScratchFile> | undefined;
  #opened: ScratchFile | undefined;
  #tidied: Promise<void> = Promise.resolve();
  #closed = false;

  constructor({ dir }: DiskStatePlan) {
    this.#dir = dir;
  }

  get stats(): ScratchStats {
    return this.#opened?.stats ?? { bytesRead: 0, bytesWritten: 0 };
  }

  /** There once {@link admit} has resolved. */
  get file(): ScratchFile {
    return this.#opened!;
  }

  /**
   * Makes sure that there is a file, with room on its drive for `bytes` more than all states there are may come to.
   * Throws `StateSpaceError`, `WriteError`.
   */
  async admit(bytes: number): Promise<void> {
    if (this.#closed) throw new DisposedError('engine');
    const before = await roomIn(this.#dir);
    if (this.#file === undefined) this.#check(bytes, before);
    this.#file ??= ScratchFile.create(this.#dir, { label: 'airllm-state' });
    try {
      this.#opened = await this.#file;
    } catch (error) {
      this.#file = undefined;
      throw error;
    }
    this.#check(bytes, await roomIn(this.#dir));
  }

  /** An empty state that may grow to `maxLength` positions. */
  create(spec: KvStateSpec, layer: number, maxLength: number): DiskState {
    return new DiskState(this, spec, layer, maxLength);
  }

  /** Waits for the file to be ready for what is written next. */
  async ready(): Promise<void> {
    await this.#tidied;
  }

  /** Once nobody is there the drive gets its space back; a file does not shrink by itself. */
  onDispose(): void {
    const file = this.#opened;
    if (!this.space.empty || file === undefined || this.#closed) return;
    // It does no harm if that fails: places are given out anew, and closing removes all.
    this.#tidied = this.#tidied.then(() => (this.space.empty ? file.truncate(0) : undefined)).catch(() => {});
  }

  async dispose(): Promise<void> {
    this.#closed = true;
    await this.#tidied;
    const file = await this.#file?.catch(() => undefined);
    await file?.close();
  }

  #check(bytes: number, available: number): void {
    let needed = bytes + MARGIN_BYTES;
    for (const state of this.states) needed += state.mostBytes - state.byteLength;
    if (needed > available) throw new StateSpaceError({ dir: this.#dir, needed, available });
  }
}

/** Bytes that this user may write where a folder is or will be. */
async function roomIn(dir: string): Promise<number> {
  let at = dir;
  while ((await stat(at).catch(() => undefined)) === undefined && dirname(at) !== at) at = dirname(at);
  const { bavail, bsize } = await statfs(at);
  return bavail * bsize;
}
