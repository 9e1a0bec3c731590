import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { errnoName } from '@airllm/loader';
import type { Compression } from '../compress/kinds';
import type { ManifestExtra, ManifestFile, SourceDescription } from '../manifest';
import type { ShardDType } from '../plan/plan';

/** What a split was begun from and as; its files are of use only to a run with the same. */
export interface JournalHeader {
  readonly format: 'airllm-split';
  readonly version: 1;
  readonly source: SourceDescription;
  readonly dtype: ShardDType | null;
  readonly compress?: Compression;
  /** Fingerprint of the plan: see `planDigest`. */
  readonly plan: string;
}

/** A finished file: written before the file gets its final name, so a file with that name is always on record. */
export type JournalRecord =
  | { readonly kind: 'file'; readonly file: ManifestFile }
  | { readonly kind: 'extra'; readonly extra: ManifestExtra };

export interface JournalContent {
  readonly header: JournalHeader;
  readonly records: readonly JournalRecord[];
}

/** The log of a split in progress, one JSON line per finished file; survives being cut off at any byte. */
export class Journal {
  readonly #handle: FileHandle;
  #end: number;
  #queue: Promise<void> = Promise.resolve();

  private constructor(handle: FileHandle, end: number) {
    this.#handle = handle;
    this.#end = end;
  }

  /** What an earlier run left, up to the last whole line; null if there is nothing. */
  static async read(file: string): Promise<JournalContent | null> {
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      if (errnoName(error) === 'ENOENT') return null;
      throw error;
    }
    const [header, ...records] = wholeLines(text);
    if (header === undefined || (header as JournalHeader).format !== 'airllm-split') return null;
    return { header: header as JournalHeader, records: records as JournalRecord[] };
  }

  /** Begins a journal with what is known to be finished. */
  static async create(file: string, content: JournalContent): Promise<Journal> {
    await rm(file, { force: true });
    const handle = await open(file, 'wx');
    const journal = new Journal(handle, 0);
    try {
      await journal.#write([content.header, ...content.records]);
      return journal;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Outlives this process when it resolves, and a power cut once `sync` has. */
  append(record: JournalRecord): Promise<void> {
    const written = this.#queue.then(() => this.#write([record]));
    this.#queue = written.catch(() => undefined);
    return written;
  }

  async sync(): Promise<void> {
    await this.#handle.datasync();
  }

  async close(): Promise<void> {
    await this.#queue;
    await this.#handle.close();
  }

  async #write(values: readonly unknown[]): Promise<void> {
    const bytes = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
    try {
      for (let done = 0; done < bytes.length; ) {
        done += (await this.#handle.write(bytes, done, bytes.length - done, this.#end + done)).bytesWritten;
      }
      this.#end += bytes.length;
    } catch (error) {
      await this.#handle.truncate(this.#end).catch(() => undefined);
      throw error;
    }
  }
}

function wholeLines(text: string): unknown[] {
  const values: unknown[] = [];
  for (let at = 0; ; ) {
    const end = text.indexOf('\n', at);
    if (end < 0) return values;
    try {
      values.push(JSON.parse(text.slice(at, end)));
    } catch {
      return values;
    }
    at = end + 1;
  }
}
