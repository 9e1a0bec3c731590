import { createHash } from 'node:crypto';
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { type AbsentFiles, errnoName } from '@airllm/loader';
import { MANIFEST_FILE, type SourceDescription, type SourceFile } from './manifest';
import { QUANTISATION_FILES } from './sources/quantisation-config';
import type { ModelSource } from './sources/source';

/** Formats that hold weights; files of the checkpoint itself are split, the others are not needed. */
const WEIGHTS =
  /\.(?:safetensors|bin|pt|pth|ckpt|gguf|ggml|h5|msgpack|npz|onnx|onnx_data|tflite|mlmodel|index\.json)$/i;
/** Where transformers keeps named chat templates. */
const TEMPLATE_FOLDER = 'additional_chat_templates';

/** Quantisation settings of the source, which are not those of what a split writes. */
export const MISLEADING_FILES: ReadonlySet<string> = new Set(QUANTISATION_FILES);
/** A GGUF file has all that a model needs, and often lies among other things. */
const BESIDE_GGUF = /^(?:licen[cs]e|notice|readme)(?:\.|$)/i;

/** Not the whole source: half a million tensors would stay in memory for nothing. */
export type Origin = Pick<ModelSource, 'kind' | 'dir' | 'files'>;

/** What lies beside the weights of a checkpoint. */
export interface SourceExtras {
  /** Names to copy: configuration, tokenizer, chat templates, code, licence, model card. */
  readonly copied: readonly string[];
  /** Names left behind: weights of other formats, folders, hidden files. */
  readonly notCopied: readonly string[];
}

/** Sorts the other files of a source's folder into those a model needs and the rest. */
export async function findExtras({ kind, dir, files }: Origin): Promise<SourceExtras> {
  const weights = new Set(files.map((file) => path.basename(file)));
  const copied: string[] = [];
  const notCopied: string[] = [];
  const names = (await readdir(dir)).sort();
  for (const name of kind === 'gguf' ? names.filter((each) => BESIDE_GGUF.test(each)) : names) {
    if (weights.has(name) || name === MANIFEST_FILE) continue;
    const isFile = (await stat(path.join(dir, name)).catch(() => undefined))?.isFile();
    if (name === TEMPLATE_FOLDER && isFile === false) {
      const templates = await readdir(path.join(dir, name));
      copied.push(
        ...templates
          .filter((each) => each.endsWith('.jinja'))
          .sort()
          .map((each) => `${name}/${each}`),
      );
    } else if (isFile && !name.startsWith('.') && !WEIGHTS.test(name) && !MISLEADING_FILES.has(name)) copied.push(name);
    else if (!/\.safetensors\.index\.json$/.test(name)) notCopied.push(name);
  }
  return { copied, notCopied };
}

/** Describes a source without its path: names, sizes, times, and hashes of the weights' headers. */
export async function describeSource(origin: Origin, extras: SourceExtras): Promise<SourceDescription> {
  const { kind, dir } = origin;
  const files: SourceFile[] = [];
  const hash = kind === 'safetensors' || kind === 'shards' ? hashHeader : hashEnds;
  for (const file of origin.files) {
    files.push({ ...(await describeFile(dir, path.relative(dir, file))), headerSha256: await hash(file) });
  }
  // What is not copied but was read: other settings mean other weights.
  const others = [...extras.copied, ...extras.notCopied.filter((name) => MISLEADING_FILES.has(name))];
  for (const name of others) files.push({ ...(await describeFile(dir, name)), headerSha256: null });
  return { layout: layoutOf(origin), files };
}

/** In place of a header's hash: the file was still to come. */
const ARRIVING = 'arriving';

/** Whether a source was described before all of it was there. */
export function wasArriving({ files }: SourceDescription): boolean {
  return files.some(({ headerSha256 }) => headerSha256 === ARRIVING);
}

/** The same of a source that is not there yet, as far as that can be told; no source is ever equal to it. */
export async function describeArriving(
  origin: Origin,
  extras: SourceExtras,
  absent: AbsentFiles,
): Promise<SourceDescription> {
  const { dir } = origin;
  const described = await describeSource({ ...origin, files: [] }, extras);
  const mtime = new Date().toISOString();
  const weights = origin.files.map((weight): SourceFile => {
    const file = path.relative(dir, weight).split(path.sep).join('/');
    return { file, bytes: absent.sizes.get(file) ?? 0, mtime, headerSha256: ARRIVING };
  });
  return { layout: layoutOf(origin), files: [...weights, ...described.files] };
}

function layoutOf({ kind, files }: Origin): SourceDescription['layout'] {
  if (kind === 'shards') return 'layered';
  return kind === 'safetensors' ? (files.length === 1 ? 'single' : 'sharded') : kind;
}

async function describeFile(dir: string, name: string): Promise<Omit<SourceFile, 'headerSha256'>> {
  const { size, mtime } = await stat(path.join(dir, name));
  return { file: name.split(path.sep).join('/'), bytes: size, mtime: mtime.toISOString() };
}

async function hashHeader(file: string): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const length = Buffer.alloc(8);
    await handle.read(length, 0, 8, 0);
    // Opening the checkpoint has checked the length.
    const header = Buffer.alloc(Number(length.readBigUInt64LE()));
    await handle.read(header, 0, header.length, 8);
    return createHash('sha256').update(length).update(header).digest('hex');
  } finally {
    await handle.close();
  }
}

/** Where a GGUF file has its header and a zip archive its directory. */
const END_BYTES = 1 << 20;

async function hashEnds(file: string): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const start = Buffer.alloc(Math.min(size, END_BYTES));
    const end = Buffer.alloc(Math.min(size - start.length, END_BYTES));
    await handle.read(start, 0, start.length, 0);
    await handle.read(end, 0, end.length, size - end.length);
    return createHash('sha256').update(start).update(end).digest('hex');
  } finally {
    await handle.close();
  }
}

/** How a source differs from what it was, one line per difference; empty if it does not, as far as that was known. */
export function sourceChanges(before: SourceDescription, now: SourceDescription): string[] {
  const changes: string[] = [];
  const found = new Map(now.files.map((file) => [file.file, file]));
  for (const was of before.files) {
    const is = found.get(was.file);
    found.delete(was.file);
    if (is === undefined) changes.push(`${was.file} is gone`);
    else if (is.bytes !== was.bytes) changes.push(`${was.file} had ${was.bytes} bytes and has ${is.bytes}`);
    else if (was.headerSha256 === ARRIVING) continue;
    else if (is.headerSha256 !== was.headerSha256) changes.push(`the header of ${was.file} is another`);
    else if (is.mtime !== was.mtime) changes.push(`${was.file} was written at ${is.mtime}, not ${was.mtime}`);
  }
  for (const name of found.keys()) changes.push(`${name} is new`);
  return changes;
}

/** Which weight files of a source description are unchanged, changed, or gone from a folder. */
export async function weightFilesLeft(
  dir: string,
  source: SourceDescription,
): Promise<{ left: readonly string[]; gone: readonly string[]; changed: readonly string[] }> {
  const state = { left: [] as string[], gone: [] as string[], changed: [] as string[] };
  for (const { file, bytes, mtime, headerSha256 } of source.files) {
    if (headerSha256 === null) continue;
    try {
      const found = await stat(path.join(dir, file));
      const same = found.size === bytes && found.mtime.toISOString() === mtime;
      (same ? state.left : state.changed).push(file);
    } catch (error) {
      if (errnoName(error) !== 'ENOENT') throw error;
      state.gone.push(file);
    }
  }
  return state;
}
