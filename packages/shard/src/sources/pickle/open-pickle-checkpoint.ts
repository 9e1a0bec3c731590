import { stat } from 'node:fs/promises';
import path from 'node:path';
import {
  type AbsentFiles,
  AbsentFolder,
  FormatError,
  MissingTensorError,
  openFailure,
  readConfigFile,
  readWeightIndex,
  UnsupportedCheckpointError,
  type WeightIndex,
} from '@airllm/loader';
import { SourceFiles } from '../source-files';
import { openPickleFile, type PickleFile } from './open-pickle-file';
import type { PickleTensor } from './pickle-tensor';
import { findWeightFiles } from './weight-files';

/** A PyTorch checkpoint on disk, of which only directories and pickles were read. */
export interface PickleCheckpoint {
  /** Absolute path of the folder. */
  readonly dir: string;
  /** Absolute paths of the files with weights. */
  readonly files: readonly string[];
  /** `config.json`, or null if there is none. */
  readonly config: Record<string, unknown> | null;
  /** By name; file after file, in the order of their bytes. Two of them may share bytes. */
  readonly tensors: ReadonlyMap<string, PickleTensor>;
}

/** What {@link openPickleCheckpoint} takes beside the path. */
export interface OpenPickleOptions {
  /** Files that the folder will have: of these, directories and pickles are read from where they are. */
  absent?: AbsentFiles | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Opens a folder with `pytorch_model.bin` or `pytorch_model.bin.index.json`, a file that `torch.save` wrote, or an
 * index. The unpickler knows a list of names and executes nothing. Contiguous tensors are `MetaTensor`s whose extents
 * lie in the files themselves; others are `StridedTensor`s (see `readStrided`).
 *
 * Throws `UnsafePickleError` (a pickle that asks for more than weights need), `FormatError`, `MissingFileError`,
 * `MissingTensorError` (in the index, not in its file), `UnsupportedCheckpointError`, `ReadError`, or the signal's
 * reason.
 */
export async function openPickleCheckpoint(
  dirOrFile: string,
  options: OpenPickleOptions = {},
): Promise<PickleCheckpoint> {
  const { absent, signal } = options;
  signal?.throwIfAborted();
  const { dir, files, neededBy, index } = await findFiles(path.resolve(dirOrFile), [...(absent?.sizes.keys() ?? [])]);
  const config = await readConfigFile(path.join(dir, 'config.json'));
  const reads = new SourceFiles({ absent: absent && new AbsentFolder(dir, absent), signal });
  const opened: PickleFile[] = [];
  // One after the other: a pickle may take tens of MB while it is read.
  for (const file of files) opened.push(await openPickleFile(file, neededBy ?? file, reads));
  const tensors = gather(opened);
  if (index !== undefined) checkIndex(index, opened);
  return { dir, files, config, tensors };
}

interface FoundFiles {
  readonly dir: string;
  readonly files: readonly string[];
  readonly neededBy?: string;
  readonly index?: WeightIndex;
}

async function findFiles(given: string, absent: readonly string[]): Promise<FoundFiles> {
  if (absent.includes(path.basename(given)) || !(await isDirectory(given))) return fromFile(given);
  const { pickle, entries, safetensors, gguf } = await findWeightFiles(given, absent);
  if (entries.pickle !== undefined) return fromFile(path.join(given, entries.pickle));
  const found = [...pickle, ...safetensors, ...gguf];
  const reason =
    pickle.length === 0
      ? 'no PyTorch weights here: expected pytorch_model.bin or pytorch_model.bin.index.json'
      : `several .bin files (${pickle.slice(0, 5).join(', ')}) but no pytorch_model.bin.index.json: add it`;
  throw new UnsupportedCheckpointError({ dir: given, found, reason });
}

async function fromFile(file: string): Promise<FoundFiles> {
  const dir = path.dirname(file);
  if (!file.endsWith('.json')) return { dir, files: [file] };
  const index = await readWeightIndex(file);
  const names = [...new Set(index.weightMap.values())].sort();
  return { dir, files: names.map((name) => path.join(dir, name)), neededBy: file, index };
}

async function isDirectory(given: string): Promise<boolean> {
  try {
    return (await stat(given)).isDirectory();
  } catch (cause) {
    throw openFailure(given, cause);
  }
}

/** Tensors that a file holds without being in the index belong to the model, as in transformers. */
function gather(files: readonly PickleFile[]): Map<string, PickleTensor> {
  const tensors = new Map<string, PickleTensor>();
  const places = new Map<string, string>();
  for (const { file, tensors: held } of files) {
    for (const [name, tensor] of held) {
      const other = places.get(name);
      if (other !== undefined) throw new FormatError({ file, tensor: name, reason: `it lies in ${other} as well` });
      places.set(name, file);
      tensors.set(name, tensor);
    }
  }
  return tensors;
}

/** What the index promises must be there. */
function checkIndex(index: WeightIndex, files: readonly PickleFile[]): void {
  const held = new Map(files.map(({ file, tensors }) => [file, tensors]));
  for (const [tensor, name] of index.weightMap) {
    const file = path.join(path.dirname(index.file), name);
    if (held.get(file)?.has(tensor)) continue;
    throw new MissingTensorError({
      tensor,
      file,
      reason: `${index.file} puts it into ${file}, which does not hold it`,
    });
  }
}
