import { open, readdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { errnoName, MissingFileError, makeFolder, syncFolder } from '@airllm/loader';
import { SourceChangedError, TargetError } from '../errors';
import { encodeManifest, MANIFEST_FILE, MANIFEST_FORMAT, type Manifest, readManifest } from '../manifest';
import { planDigest } from '../plan/plan';
import { sourceChanges, wasArriving } from '../source';
import { Journal, type JournalContent, type JournalHeader, type JournalRecord } from './journal';
import { TargetLock } from './lock';

/** Holds everything unfinished; gone once the manifest is there. */
const WORK_FOLDER = '.split';

/** Milliseconds: of expert files there are thousands, and a power cut may cost the last second of them. */
const SYNC_INTERVAL = 1000;

/** The folder a split writes into: what is finished in it, and how a file becomes finished. */
export class Target {
  readonly dir: string;
  /** Records of the files that are in place. */
  readonly done: Map<string, JournalRecord>;
  readonly #header: JournalHeader;
  readonly #lock: TargetLock;
  /** Topmost folder this run made. */
  readonly #created: string | undefined;
  #journal: Journal | undefined;
  #folders = new Set<string>();
  #synced = performance.now();

  private constructor(dir: string, header: JournalHeader, lock: TargetLock, created: string | undefined) {
    this.dir = dir;
    this.done = new Map();
    this.#header = header;
    this.#lock = lock;
    this.#created = created;
  }

  /** The manifest, if the folder is complete and was made from this very source and plan. Touches nothing. */
  static async complete(dir: string, header: JournalHeader): Promise<Manifest | null> {
    const manifest = (await isOurs(dir)) ? await manifestOrNull(dir) : null;
    if (manifest === null || changes(contentOf(manifest).header, header).length > 0) return null;
    for (const record of contentOf(manifest).records) if (!(await isInPlace(dir, record))) return null;
    return manifest;
  }

  /** Removes what a process that was killed right after its manifest left behind, unless another one is at it. */
  static async tidy(dir: string): Promise<void> {
    const work = path.join(dir, WORK_FOLDER);
    if (!(await isThere(work))) return;
    const lock = await TargetLock.acquire(path.join(work, 'lock')).catch(() => null);
    if (lock === null) return;
    await lock.release();
    await rm(work, { recursive: true, force: true });
  }

  /**
   * Takes hold of a new, empty, or begun folder. Throws `TargetError` if it holds anything else, `TargetLockedError`,
   * `SourceChangedError` if it was begun from something else (unless `restart`), `FormatError` for a damaged manifest.
   */
  static async open(dir: string, header: JournalHeader, restart: boolean, planned: readonly string[]): Promise<Target> {
    const created = await makeTarget(dir);
    const names = await readdir(dir);
    if (names.length > 0 && !(await isOurs(dir))) {
      throw new TargetError({
        dir,
        reason: `it holds other things (${names.slice(0, 3).join(', ')}…); choose a new or empty folder`,
      });
    }
    const work = path.join(dir, WORK_FOLDER);
    await makeFolder(work);
    const target = new Target(dir, header, await TargetLock.acquire(path.join(work, 'lock')), created);
    try {
      if (restart || (await target.#wasArriving())) await target.#clear(planned);
      await target.#resume();
      return target;
    } catch (error) {
      await target.abandon();
      throw error;
    }
  }

  /** Where an unfinished file is written. */
  partPath(number: number): string {
    return path.join(this.dir, WORK_FOLDER, `${number}.part`);
  }

  /** Gives a durable file its name. From then on it is finished, whatever happens. */
  async finish(part: string, record: JournalRecord): Promise<void> {
    const file = path.join(this.dir, nameOf(record));
    await this.#makeSubfolder(path.dirname(file));
    // On record first: a file under its final name without its checksums could not be kept by the next run.
    await this.#journal!.append(record);
    await rename(part, file);
    this.done.set(nameOf(record), record);
    if (performance.now() - this.#synced > SYNC_INTERVAL) await this.#sync();
  }

  /** Writes the manifest, the last file to appear, and removes all traces of the work. */
  async seal(manifest: Manifest): Promise<void> {
    await this.#sync();
    const part = path.join(this.dir, WORK_FOLDER, 'manifest.part');
    const handle = await open(part, 'w');
    try {
      await handle.writeFile(encodeManifest(manifest));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(part, path.join(this.dir, MANIFEST_FILE));
    await syncFolder(this.dir);
    await this.#journal!.close();
    await this.#lock.release();
    await rm(path.join(this.dir, WORK_FOLDER), { recursive: true, force: true });
  }

  /** Lets go after a failure: what is finished stays for the next run, anything else disappears. */
  async abandon(): Promise<void> {
    await this.#journal?.close().catch(() => undefined);
    await this.#removeParts().catch(() => undefined);
    await this.#lock.release();
    if (this.done.size > 0) return;
    await rm(path.join(this.dir, WORK_FOLDER), { recursive: true, force: true });
    await removeCreated(this.dir, this.#created);
  }

  /** Names and journal; the files themselves are durable before they get their names. */
  async #sync(): Promise<void> {
    this.#synced = performance.now();
    await this.#journal!.sync();
    for (const folder of [this.dir, ...this.#folders]) await syncFolder(folder);
  }

  async #resume(): Promise<void> {
    const before = await this.#content();
    if (before !== null) {
      const differences = changes(before.header, this.#header);
      if (differences.length > 0) {
        // Not ours to remove.
        for (const record of before.records) this.done.set(nameOf(record), record);
        throw new SourceChangedError({ dir: this.dir, changes: differences });
      }
      for (const record of before.records) {
        if (await isInPlace(this.dir, record)) this.done.set(nameOf(record), record);
      }
    }
    await this.#removeParts();
    // A new journal: the old one may end in half a line, or in files that have been removed since.
    const draft = path.join(this.dir, WORK_FOLDER, 'journal.new');
    this.#journal = await Journal.create(draft, { header: this.#header, records: [...this.done.values()] });
    await rename(draft, this.#journalFile);
    await syncFolder(path.dirname(draft));
    await rm(path.join(this.dir, MANIFEST_FILE), { force: true });
  }

  get #journalFile(): string {
    return path.join(this.dir, WORK_FOLDER, 'journal.jsonl');
  }

  /** What an earlier run finished: from the manifest of a folder that has lost files since, else from the journal. */
  async #content(): Promise<JournalContent | null> {
    const manifest = await manifestOrNull(this.dir);
    return manifest === null ? Journal.read(this.#journalFile) : contentOf(manifest);
  }

  /** Whether an interrupted run left something of the same source, made while that was still coming: of no use. */
  async #wasArriving(): Promise<boolean> {
    const before = await this.#content();
    return before !== null && wasArriving(before.header.source) && changes(before.header, this.#header).length === 0;
  }

  /** Removes what earlier runs made, and only that. */
  async #clear(planned: readonly string[]): Promise<void> {
    const content = await this.#content().catch(() => null);
    const names = new Set([
      ...planned,
      ...(content?.records ?? []).map(nameOf),
      MANIFEST_FILE,
      `${WORK_FOLDER}/journal.jsonl`,
    ]);
    for (const name of names) await rm(path.join(this.dir, name), { force: true });
  }

  async #removeParts(): Promise<void> {
    const work = path.join(this.dir, WORK_FOLDER);
    for (const name of await readdir(work))
      if (name.endsWith('.part')) await rm(path.join(work, name), { force: true });
  }

  async #makeSubfolder(dir: string): Promise<void> {
    if (dir === this.dir || this.#folders.has(dir)) return;
    await makeFolder(dir);
    await syncFolder(path.dirname(dir));
    this.#folders.add(dir);
  }
}

function nameOf(record: JournalRecord): string {
  return record.kind === 'file' ? record.file.file : record.extra.file;
}

async function isInPlace(dir: string, record: JournalRecord): Promise<boolean> {
  const { bytes } = record.kind === 'file' ? record.file : record.extra;
  const found = await stat(path.join(dir, nameOf(record))).catch(() => undefined);
  return found?.isFile() === true && found.size === bytes;
}

/** Whether a folder is one of ours, finished, begun, or damaged: only then may anything in it be replaced. */
async function isOurs(dir: string): Promise<boolean> {
  if (await isThere(path.join(dir, WORK_FOLDER))) return true;
  const manifest = path.join(dir, MANIFEST_FILE);
  return (await isThere(manifest)) && (await readFile(manifest, 'latin1')).includes(MANIFEST_FORMAT);
}

async function isThere(file: string): Promise<boolean> {
  return (await stat(file).catch(() => undefined)) !== undefined;
}

async function manifestOrNull(dir: string): Promise<Manifest | null> {
  try {
    return await readManifest(dir);
  } catch (error) {
    if (MissingFileError.isInstance(error)) return null;
    throw error;
  }
}

/** A manifest says all that a finished journal would. */
function contentOf(manifest: Manifest): JournalContent {
  const { source, dtype, compress, files, extras } = manifest;
  return {
    header: {
      format: 'airllm-split',
      version: 1,
      source,
      dtype,
      ...(compress && { compress }),
      plan: planDigest(files),
    },
    records: [
      ...files.map((file) => ({ kind: 'file', file }) as const),
      ...extras.map((extra) => ({ kind: 'extra', extra }) as const),
    ],
  };
}

function changes(before: JournalHeader, now: JournalHeader): string[] {
  const found = sourceChanges(before.source, now.source);
  if (before.dtype !== now.dtype) found.push(`dtype was ${before.dtype ?? 'kept'} and is ${now.dtype ?? 'kept'}`);
  if (before.compress !== now.compress) {
    found.push(`compress was ${before.compress ?? 'off'} and is ${now.compress ?? 'off'}`);
  }
  if (found.length === 0 && before.plan !== now.plan) found.push('another release laid out the files differently');
  return found;
}

/** The topmost folder that had to be made. */
async function makeTarget(dir: string): Promise<string | undefined> {
  try {
    return await makeFolder(dir);
  } catch (cause) {
    const reason = FOLDER_REASONS[errnoName(cause) ?? ''];
    if (reason === undefined) throw cause;
    throw new TargetError({ dir, reason: `${reason}; choose another target`, cause });
  }
}

const FOLDER_REASONS: Readonly<Record<string, string | undefined>> = {
  EEXIST: 'it, or a folder above it, is a file or a link to nothing',
  ENOTDIR: 'it, or a folder above it, is a file',
  ENOENT: 'no folder can be made there',
  EACCES: 'it cannot be made by this user',
  EPERM: 'it cannot be made by this user',
  EROFS: 'it is on a drive that cannot be written',
};

async function removeCreated(dir: string, created: string | undefined): Promise<void> {
  if (created === undefined) return;
  for (let at = dir; ; at = path.dirname(at)) {
    // Somebody else may have put something there meanwhile.
    if (
      !(await rmdir(at).then(
        () => true,
        () => false,
      )) ||
      at === created
    )
      return;
  }
}
