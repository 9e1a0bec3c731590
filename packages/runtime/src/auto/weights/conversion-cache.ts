import { createHash } from 'node:crypto';
import { readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { writeJson } from '../write-json';

/** In a finished copy: what it was made from. */
const RECORD = 'airllm-source.json';
const FOLDER = 'converted';

/** A model that was rewritten once into formats that executors compute on. */
export interface ConvertedCopy {
  /** Of its folder: what `removeConverted` takes. */
  readonly name: string;
  /** Absolute path. */
  readonly dir: string;
  /** The folder or file it was made from; null for one whose making has not ended. */
  readonly source: string | null;
  /** `incomplete` ones go on when the model is run again; `stale` ones are made anew, since their source has changed. */
  readonly state: 'ready' | 'stale' | 'incomplete';
  /** Of all its files. */
  readonly bytes: number;
}

/** Where downloaded and converted models are kept. */
export interface ConversionCacheOptions {
  /**
   * Folder for models: repositories in the hub's layout, and converted copies in its folder `airllm`.
   * @defaultValue for copies AIRLLM_CACHE, else $XDG_CACHE_HOME/airllm, else ~/.cache/airllm
   */
  readonly cacheDir?: string | undefined;
}

interface SourceRecord {
  readonly source: string;
  readonly files: readonly { readonly file: string; readonly bytes: number; readonly mtimeMs: number }[];
}

/** Folder for a copy of a source: its name, a digest of where it lies, and of several copies which one. */
export async function conversionDir(source: string, options: ConversionCacheOptions, variant = ''): Promise<string> {
  return conversionDirOf(await realpath(source), options, variant);
}

/** The same for the real path of a source, which need not be there yet. */
export function conversionDirOf(path: string, options: ConversionCacheOptions, variant = ''): string {
  const digest = createHash('sha256').update(path).digest('hex').slice(0, 12);
  // In the hub's cache files are called by their digest, and folders by their commit.
  const name = HUB_FOLDER.exec(path)?.[1] ?? basename(path);
  return join(conversionRoot(options), `${name.replace(/[^\w.-]+/g, '_')}-${digest}${variant && `-${variant}`}`);
}

const HUB_FOLDER = /[\\/]models--([^\\/]+)[\\/](?:blobs|snapshots)[\\/][^\\/]+$/;

/** Whether a folder holds the finished copy of a source that has not changed since. */
export async function isConverted(dir: string): Promise<boolean> {
  const record = await readRecord(dir);
  return record !== null && (await isUnchanged(record));
}

/** Notes in a finished copy what it was made from; `files` are the source's weights. */
export async function recordConversion(dir: string, source: string, files: readonly string[]): Promise<void> {
  const described = files.map(async (file) => {
    const { size, mtimeMs } = await stat(file);
    return { file, bytes: size, mtimeMs };
  });
  const record: SourceRecord = { source: await realpath(source), files: await Promise.all(described) };
  await writeJson(join(dir, RECORD), record);
}

/** All converted copies, sorted by name. A cache that is not there is empty. */
export async function listConverted(options: ConversionCacheOptions = {}): Promise<ConvertedCopy[]> {
  const root = conversionRoot(options);
  const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return Promise.all(names.sort().map((name) => describeCopy(join(root, name), name)));
}

/**
 * Removes the copies of a name, or those made from a folder or file; resolves to what was removed, nothing if there was
 * no such copy. Sources are never touched.
 */
export async function removeConverted(which: string, options: ConversionCacheOptions = {}): Promise<ConvertedCopy[]> {
  const path = await realpath(which).catch(() => null);
  const own = path && (await conversionDir(path, options));
  const isOwn = (dir: string) => own !== null && (dir === own || dir.startsWith(`${own}-`));
  const copies = (await listConverted(options)).filter(({ name, dir }) => name === which || isOwn(dir));
  for (const { dir } of copies) await rm(dir, { recursive: true, force: true });
  return copies;
}

/** The environment is read when a copy is looked for. */
export function conversionRoot({ cacheDir }: ConversionCacheOptions): string {
  const { AIRLLM_CACHE, XDG_CACHE_HOME } = process.env;
  const home = AIRLLM_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'airllm');
  return resolve(cacheDir === undefined ? home : join(cacheDir, 'airllm'), FOLDER);
}

async function describeCopy(dir: string, name: string): Promise<ConvertedCopy> {
  const record = await readRecord(dir);
  const entries = await readdir(dir, { withFileTypes: true });
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map((entry) => stat(join(dir, entry.name)).then(({ size }) => size));
  const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  if (record === null) return { name, dir, source: null, state: 'incomplete', bytes };
  return { name, dir, source: record.source, state: (await isUnchanged(record)) ? 'ready' : 'stale', bytes };
}

async function isUnchanged({ files }: SourceRecord): Promise<boolean> {
  const same = files.map(async ({ file, bytes, mtimeMs }) => {
    const found = await stat(file).catch(() => null);
    return found?.size === bytes && found.mtimeMs === mtimeMs;
  });
  return (await Promise.all(same)).every(Boolean);
}

async function readRecord(dir: string): Promise<SourceRecord | null> {
  try {
    const record = JSON.parse(await readFile(join(dir, RECORD), 'utf8')) as SourceRecord;
    return typeof record.source === 'string' && Array.isArray(record.files) ? record : null;
  } catch {
    // Not there, or not ours: then it is no finished copy.
    return null;
  }
}
