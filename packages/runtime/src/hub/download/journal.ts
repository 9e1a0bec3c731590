import { appendFileSync } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { bootId, isSameBoot } from '../cache/boot-id';
import { type ByteRange, RangeSet } from '../range-set';

/** What is known of a file that is not whole yet. */
export interface DownloadState {
  readonly ranges: readonly ByteRange[];
  /** How many bytes from the start have gone into the hash. */
  readonly hashed: number;
  /** State of the hash there; undefined if it cannot be kept. */
  readonly hashState: Uint8Array | undefined;
}

const NOTHING: DownloadState = { ranges: [], hashed: 0, hashState: undefined };
const VERSION = 1;

/**
 * The account of a download, beside its file. Its first line, the checkpoint, was written after the bytes it tells of had
 * reached the drive, and so outlives a power failure. The lines after it tell of bytes that the system had taken over but
 * perhaps not written yet: they count unless the machine was started anew meanwhile. A torn last line does not count.
 *
 * ```
 * {"airllm":1,"etag":…,"size":…,"boot":…,"ranges":[[0,8388608]],"hashed":8388608,"state":"base64"}
 * w 8388608 65536          bytes from, length
 * h 8454144 base64         hashed up to, state of the hash there
 * ```
 */
export class Journal {
  #handle: FileHandle | undefined;
  #queue: string[] = [];
  /** Lines since the last checkpoint was taken: what a new file must repeat. */
  #sinceCheckpoint: string[] | undefined;
  #writing: Promise<void> = Promise.resolve();
  #scheduled = false;

  private constructor(
    readonly file: string,
    private readonly identity: { readonly etag: string; readonly size: number },
    private readonly boot: string,
  ) {}

  /** Opens the journal of a blob, and says what it knows; anything it cannot trust it forgets. */
  static async open(file: string, etag: string, size: number): Promise<{ journal: Journal; state: DownloadState }> {
    const boot = await bootId();
    const journal = new Journal(file, { etag, size }, boot);
    const text = await readFile(file, 'utf8').catch(() => '');
    const { state, usable } = parseJournal(text, etag, size, boot);
    if (usable > 0) await journal.#continue(usable);
    // What is left of an earlier boot, or nothing: either is on the drive.
    else await journal.checkpoint(state);
    return { journal, state };
  }

  /** Goes on at the end of a file of this boot, without its torn last line. */
  async #continue(length: number): Promise<void> {
    const handle = await open(this.file, 'r+');
    await handle.truncate(length);
    await handle.close();
    this.#handle = await open(this.file, 'a');
  }

  /** Starts a file anew with this state, which must be on the drive already. */
  async checkpoint(state: DownloadState): Promise<void> {
    const line = JSON.stringify({
      airllm: VERSION,
      ...this.identity,
      boot: this.boot,
      ranges: state.ranges.map(({ from, to }) => [from, to]),
      hashed: state.hashed,
      ...(state.hashState ? { state: Buffer.from(state.hashState).toString('base64') } : {}),
    });
    await this.#exclusively(async () => {
      const repeat = this.#sinceCheckpoint ?? [];
      this.#sinceCheckpoint = undefined;
      this.#queue = [];
      const temporary = `${this.file}.tmp`;
      const handle = await open(temporary, 'w', 0o664);
      try {
        await handle.writeFile(`${[line, ...repeat].join('\n')}\n`);
        await handle.datasync();
        await rename(temporary, this.file);
      } catch (error) {
        await handle.close();
        await rm(temporary, { force: true });
        throw error;
      }
      await this.#handle?.close();
      this.#handle = handle;
    });
  }

  /** From here on lines are kept for the checkpoint that is being prepared. */
  beginCheckpoint(): void {
    this.#sinceCheckpoint = [];
  }

  written(from: number, length: number): void {
    this.#append(`w ${from} ${length}`);
  }

  hashed(to: number, state: Uint8Array): void {
    this.#append(`h ${to} ${Buffer.from(state).toString('base64')}`);
  }

  /** Resolves when all lines have been handed to the system; throws what went wrong with any. */
  async flush(): Promise<void> {
    while (this.#queue.length > 0) await this.#drain();
    await this.#writing;
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#handle?.close();
      this.#handle = undefined;
    }
  }

  async remove(): Promise<void> {
    this.#queue = [];
    await this.#writing.catch(() => {});
    await this.#handle?.close();
    this.#handle = undefined;
    await rm(this.file, { force: true });
  }

  #append(line: string): void {
    this.#queue.push(line);
    this.#sinceCheckpoint?.push(line);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // What comes in one turn goes together. A failure shows at the next flush.
    setImmediate(() => this.#drain().catch(() => {}));
  }

  #drain(): Promise<void> {
    return this.#exclusively(async () => {
      this.#scheduled = false;
      const lines = this.#queue;
      this.#queue = [];
      // Going to another thread for a few bytes would take longer.
      if (lines.length > 0 && this.#handle) appendFileSync(this.#handle.fd, `${lines.join('\n')}\n`);
    });
  }

  /** One after the other, whoever asks; a failure stays, since what follows it would be out of place. */
  #exclusively(task: () => Promise<void>): Promise<void> {
    this.#writing = this.#writing.then(task);
    return this.#writing;
  }
}

/** `usable`: how many characters to keep of a journal that this boot can go on with; 0 if none. */
export function parseJournal(text: string, etag: string, size: number, boot: string) {
  const lines = text.split('\n');
  // What follows the last line break is torn, or nothing.
  const torn = lines.pop() ?? '';
  const head = parseCheckpoint(lines.shift() ?? '', etag, size);
  if (head === undefined) return { state: NOTHING, usable: 0 };
  if (!isSameBoot(head.boot, boot)) return { state: head.state, usable: 0 };
  const ranges = new RangeSet(head.state.ranges);
  let { hashed, hashState } = head.state;
  for (const line of lines) {
    const [kind, first, second] = line.split(' ');
    const at = Number(first);
    if (kind === 'w' && Number.isSafeInteger(at) && Number.isSafeInteger(Number(second))) {
      ranges.add(at, Math.min(size, at + Number(second)));
    } else if (kind === 'h' && Number.isSafeInteger(at) && second !== undefined) {
      hashed = at;
      hashState = Buffer.from(second, 'base64');
    }
  }
  const state: DownloadState = { ranges: ranges.ranges, hashed, hashState };
  return { state, usable: text.length - torn.length };
}

/** Since which start of the machine a journal is written; undefined if it is none. */
export function journalBoot(text: string): string | undefined {
  try {
    const { boot } = JSON.parse(text.slice(0, text.indexOf('\n'))) as { boot?: unknown };
    return typeof boot === 'string' ? boot : undefined;
  } catch {
    return undefined;
  }
}

function parseCheckpoint(line: string, etag: string, size: number) {
  try {
    const found = JSON.parse(line) as Record<string, unknown>;
    if (found.airllm !== VERSION || found.etag !== etag || found.size !== size) return undefined;
    const ranges = (found.ranges as [number, number][]).map(([from, to]) => ({ from, to }));
    const valid = ranges.every(({ from, to }) => Number.isSafeInteger(from) && 0 <= from && from < to && to <= size);
    if (!valid || typeof found.boot !== 'string' || !Number.isSafeInteger(found.hashed)) return undefined;
    const hashState = typeof found.state === 'string' ? Buffer.from(found.state, 'base64') : undefined;
    return { boot: found.boot, state: { ranges, hashed: found.hashed as number, hashState } };
  } catch {
    return undefined;
  }
}
