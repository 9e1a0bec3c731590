import { constants } from 'node:fs';
import { copyFile, link, lstat, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { makeFolder } from '@airllm/loader';

/** A name becomes a path below the cache and must stay there: no part of it is `..`. */
const SAFE_PATH = /^(?!.*(^|\/)\.{1,2}(\/|$))(?!\/)[^\\:\0]+(?<!\/)$/;

/** Where the parts of one repository lie in the Hugging Face cache, as huggingface_hub lays it out. */
export class CacheLayout {
  /** `models--org--name` */
  readonly folder: string;
  readonly root: string;

  constructor(
    readonly cacheDir: string,
    readonly repo: string,
  ) {
    this.folder = `models--${repo.split('/').join('--')}`;
    this.root = join(cacheDir, this.folder);
  }

  snapshot(commit: string): string {
    return join(this.root, 'snapshots', commit);
  }

  /** Path of a file in a snapshot. The names come from a server: one that would lead out of the folder is refused. */
  pointer(commit: string, path: string): string {
    if (!SAFE_PATH.test(path)) throw new RangeError(`${this.repo}: ${JSON.stringify(path)} is no path in a repository`);
    return join(this.snapshot(commit), ...path.split('/'));
  }

  blob(etag: string): string {
    return join(this.root, 'blobs', etag);
  }

  /** What is there of a blob. huggingface_hub names its own otherwise, and appends to them without looking. */
  incomplete(etag: string): string {
    return join(this.root, 'blobs', `${etag}.airllm.incomplete`);
  }

  journal(etag: string): string {
    return join(this.root, 'blobs', `${etag}.airllm.journal`);
  }

  lock(etag: string): string {
    return join(this.cacheDir, '.locks', this.folder, `${etag}.lock`);
  }

  /** The commit that a branch or tag had when it was last downloaded. */
  async readRef(revision: string): Promise<string | undefined> {
    try {
      return (await readFile(this.#ref(revision), 'utf8')).trim();
    } catch (error) {
      if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
      throw error;
    }
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.readRef(revision)) === commit) return;
    const file = this.#ref(revision);
    await makeFolder(dirname(file));
    const temporary = `${file}.${process.pid}.tmp`;
    await writeFile(temporary, commit);
    await rename(temporary, file);
  }

  /** Remembers, as huggingface_hub does, that a commit lacks a file. */
  async writeNoExist(commit: string, path: string): Promise<void> {
    if (!SAFE_PATH.test(path)) return;
    const file = join(this.root, '.no_exist', commit, ...path.split('/'));
    await makeFolder(dirname(file));
    await writeFile(file, '');
  }

  /**
   * Makes a blob visible in a snapshot: a relative link, so that the cache can be moved; where the system allows none, a
   * second name of the same file; else a copy.
   */
  async point(commit: string, path: string, etag: string): Promise<string> {
    const pointer = this.pointer(commit, path);
    const blob = this.blob(etag);
    await makeFolder(dirname(pointer));
    if (await isFile(pointer)) return pointer;
    await rm(pointer, { force: true });
    const ways = [
      () => symlink(relative(dirname(pointer), blob).split(sep).join('/'), pointer),
      () => link(blob, pointer),
      () => copyFile(blob, pointer, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE),
    ];
    for (const [index, way] of ways.entries()) {
      try {
        await way();
        return pointer;
      } catch (error) {
        // Another process may have made it meanwhile.
        if ((error as NodeJS.ErrnoException).code === 'EEXIST' && (await isFile(pointer))) return pointer;
        if (index === ways.length - 1) throw error;
      }
    }
    return pointer;
  }

  #ref(revision: string): string {
    if (!SAFE_PATH.test(revision)) throw new RangeError(`${this.repo}: ${JSON.stringify(revision)} is no revision`);
    return join(this.root, 'refs', ...revision.split('/'));
  }
}

/** Ids of the models in a cache, sorted. */
export async function cachedRepos(cacheDir: string): Promise<string[]> {
  const names = await readdir(cacheDir).catch(() => []);
  return names
    .filter((name) => name.startsWith('models--'))
    .map((name) => name.slice('models--'.length).replace('--', '/'))
    .sort();
}

/** Whether a path leads to a file, through links. */
async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

/** Whether there is something of that name, if only a link to nothing. */
export async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
