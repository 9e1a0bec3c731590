import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { openFailure } from '@airllm/loader';

/** Which files of a folder hold weights, by format; names within the folder, sorted. */
export interface WeightFiles {
  /** Absolute path. */
  readonly dir: string;
  readonly safetensors: readonly string[];
  readonly pickle: readonly string[];
  readonly gguf: readonly string[];
  /** Where to begin, for each format that is there: the single file, else the index. */
  readonly entries: { readonly safetensors?: string; readonly pickle?: string; readonly gguf?: string };
  /** What to open: safetensors before PyTorch before GGUF. Null if nothing here is a model. */
  readonly preferred: 'safetensors' | 'pickle' | 'gguf' | null;
}

const FORMATS = ['safetensors', 'pickle', 'gguf'] as const;
/** Weights of a model; not `training_args.bin`, `optimizer.bin`, `adapter_model.bin` and their like. */
const PICKLE = /^pytorch_model[\w.-]*\.bin$/;
const PICKLE_INDEX = /^pytorch_model\.bin\.index(?:\.[\w-]+)?\.json$/;

/**
 * Looks which weights a folder has, by names alone; `absent` are files that it will have. Throws `MissingFileError`,
 * `ReadError`.
 */
export async function findWeightFiles(folder: string, absent: Iterable<string> = []): Promise<WeightFiles> {
  const dir = path.resolve(folder);
  const names = [...new Set([...(await list(dir)), ...absent])].sort();
  const safetensors = names.filter((name) => name.endsWith('.safetensors'));
  const pickle = names.filter((name) => PICKLE.test(name));
  const gguf = names.filter((name) => name.endsWith('.gguf'));
  const entries = {
    ...entry('safetensors', safetensors, names, 'model.safetensors', /\.safetensors\.index\.json$/),
    ...entry('pickle', pickle, names, 'pytorch_model.bin', PICKLE_INDEX),
    ...entry('gguf', gguf, names, 'model.gguf', /-00001-of-\d{5}\.gguf$/),
  };
  const preferred = FORMATS.find((format) => entries[format] !== undefined) ?? null;
  return { dir, safetensors, pickle, gguf, entries, preferred };
}

/** The usual single name goes before an index, as in transformers; a file of another name only if it is alone. */
function entry<Format extends string>(
  format: Format,
  files: readonly string[],
  names: readonly string[],
  usual: string,
  indexName: RegExp,
): { [key in Format]?: string } {
  const indexes = names.filter((name) => indexName.test(name)).sort((a, b) => a.length - b.length);
  const found = files.includes(usual) ? usual : (indexes[0] ?? (files.length === 1 ? files[0] : undefined));
  return (found === undefined ? {} : { [format]: found }) as { [key in Format]?: string };
}

async function list(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (cause) {
    throw openFailure(dir, cause);
  }
}
