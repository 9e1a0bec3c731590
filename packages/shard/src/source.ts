import { createHash } from 'node:crypto';
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Checkpoint } from '@airllm/loader';
import { MANIFEST_FILE, type SourceDescription, type SourceFile } from './manifest';
import { errnoName } from './system';

/** Formats that hold weights; files of the checkpoint itself are split, the others are not needed. */
const WEIGHTS =
  /\.(?:safetensors|bin|pt|pth|ckpt|gguf|ggml|h5|msgpack|npz|onnx|onnx_data|tflite|mlmodel|index\.json)$/i;
/** Where transformers keeps named chat templates. */
const TEMPLATE_FOLDER = 'additional_chat_templates';

/** What lies beside the weights of a checkpoint. */
export interface SourceExtras {
  /** Names to copy: configuration, tokenizer, chat templates, code, licence, model card. */
  readonly copied: readonly string[];
  /** Names left behind: weights of other formats, folders, hidden files. */
  readonly notCopied: readonly string[];
}

/** Sorts the other files of a checkpoint's folder into those a model needs and the rest. */
export async function findExtras(checkpoint: Pick<Checkpoint, 'dir' | 'files'>): Promise<SourceExtras> {
  const weights = new Set(checkpoint.files.map((file) => path.basename(file)));
  const copied: string[] = [];
  const notCopied: string[] = [];
  for (const name of (await readdir(checkpoint.dir)).sort()) {
    if (weights.has(name) || name === MANIFEST_FILE) continue;
    const isFile = (await stat(path.join(checkpoint.dir, name)).catch(() => undefined))?.isFile();
    if (name === TEMPLATE_FOLDER && isFile === false) {
      const templates = await readdir(path.join(checkpoint.dir, name));
      copied.push(
        ...templates
          .filter((each) => each.endsWith('.jinja'))
          .sort()
          .map((each) => `${name}/${each}`),
      );
    } else if (isFile && !name.startsWith('.') && !WEIGHTS.test(name)) copied.push(name);
    else if (!/\.safetensors\.index\.json$/.test(name)) notCopied.push(name);
  }
  return { copied, notCopied };
}

/** Describes a source without its path: names, sizes, times, and hashes of the weights' headers. */
export async function describeSource(
  checkpoint: Pick<Checkpoint, 'dir' | 'files' | 'layout'>,
  extras: readonly string[],
): Promise<SourceDescription> {
  const files: SourceFile[] = [];
  for (const file of checkpoint.files)
    files.push(await describeFile(checkpoint.dir, path.relative(checkpoint.dir, file), true));
  for (const name of extras) files.push(await describeFile(checkpoint.dir, name, false));
  return { layout: checkpoint.layout, files };
}

async function describeFile(dir: string, name: string, weights: boolean): Promise<SourceFile> {
  const full = path.join(dir, name);
  const { size, mtime } = await stat(full);
  const headerSha256 = weights ? await hashHeader(full) : null;
  return { file: name.split(path.sep).join('/'), bytes: size, mtime: mtime.toISOString(), headerSha256 };
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

/** How a source differs from what it was, one line per difference; empty if it does not. */
export function sourceChanges(before: SourceDescription, now: SourceDescription): string[] {
  const changes: string[] = [];
  const found = new Map(now.files.map((file) => [file.file, file]));
  for (const was of before.files) {
    const is = found.get(was.file);
    found.delete(was.file);
    if (is === undefined) changes.push(`${was.file} is gone`);
    else if (is.bytes !== was.bytes) changes.push(`${was.file} had ${was.bytes} bytes and has ${is.bytes}`);
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
