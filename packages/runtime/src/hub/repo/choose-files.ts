import { RepositoryFileError } from '../errors';
import type { HubFile, WeightsWanted } from '../types';
import { chooseGguf } from './choose-gguf';

export interface ChooseOptions {
  readonly weights?: WeightsWanted | undefined;
  /** Part of the names of the GGUF files that are meant. */
  readonly quantisation?: string | undefined;
  /** Exactly these. */
  readonly files?: readonly string[] | undefined;
}

/** Files of a repository that a run needs beside weights: what the config, the tokenizer and chats are read from. */
const SMALL_FILES = [
  /^(config|generation_config)\.json$/,
  /^(quantize_config|quant_config|hf_quant_config)\.json$/,
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^(merges|vocab)\.txt$/,
  /^[\w.-]*\.(model|tiktoken)$/,
  /^tekken\.json$/,
  /^chat_template\.(jinja|json)$/,
  /^additional_chat_templates\/[\w.-]+\.jinja$/,
];

/** The files of a repository to download, small ones first; `readIndex` gives the text of one of them. */
export async function chooseFiles(
  repo: string,
  files: readonly HubFile[],
  options: ChooseOptions,
  readIndex: (file: HubFile) => Promise<string>,
): Promise<HubFile[]> {
  if (options.files !== undefined) return named(repo, files, options.files);
  const small = files.filter(({ path }) => SMALL_FILES.some((pattern) => pattern.test(path)));
  const weights = await chooseWeights(repo, files, options, readIndex);
  const sorted = (some: readonly HubFile[]) => [...some].sort((a, b) => (a.path < b.path ? -1 : 1));
  const isIndex = ({ path }: HubFile) => path.endsWith('.json');
  return [...sorted([...small, ...weights.filter(isIndex)]), ...sorted(weights.filter((file) => !isIndex(file)))];
}

function named(repo: string, files: readonly HubFile[], paths: readonly string[]): HubFile[] {
  return [...new Set(paths)].map((path) => {
    const file = files.find((each) => each.path === path);
    if (file) return file;
    const available = files.map((each) => each.path);
    throw new RepositoryFileError({ repo, file: path, reason: `there is no file ${path}`, available });
  });
}

async function chooseWeights(
  repo: string,
  files: readonly HubFile[],
  { weights = 'auto', quantisation }: ChooseOptions,
  readIndex: (file: HubFile) => Promise<string>,
): Promise<readonly HubFile[]> {
  const kind = quantisation === undefined ? weights : 'gguf';
  if (kind === 'safetensors' || kind === 'auto') {
    const found = await indexed(repo, files, SAFETENSORS, readIndex);
    if (found.length > 0) return found;
  }
  if (kind === 'bin' || kind === 'auto') {
    const found = await indexed(repo, files, BIN, readIndex);
    if (found.length > 0) return found;
  }
  if (kind === 'gguf' || kind === 'auto') {
    const found = chooseGguf(files, quantisation);
    if (found.length > 0) return found;
  }
  const available = files.map(({ path }) => path).filter((path) => WEIGHTS.test(path));
  const what = kind === 'auto' ? 'weights in a format that can be run (safetensors, .bin, GGUF)' : `${kind} weights`;
  throw new RepositoryFileError({ repo, reason: `there are no ${what}`, available });
}

const WEIGHTS = /\.(safetensors|bin|gguf|pth|pt|onnx|h5|msgpack|ckpt|npz)$/;

interface IndexedFormat {
  readonly single: string;
  readonly index: string;
  /** Any other file that may be the only one with weights. */
  readonly other: RegExp;
}

// Copies of the same weights, and parts that are no model by themselves, go by these names.
const SAFETENSORS: IndexedFormat = {
  single: 'model.safetensors',
  index: 'model.safetensors.index.json',
  other: /^(?!consolidated|adapter_)[^/]*\.safetensors$/,
};
const BIN: IndexedFormat = {
  single: 'pytorch_model.bin',
  index: 'pytorch_model.bin.index.json',
  other: /^(?!training_args|optimizer|scheduler|adapter_|rng_state)[^/]*\.bin$/,
};

/** As the loader finds a checkpoint in a folder: the single file, else the index and what it names, else the only file. */
async function indexed(
  repo: string,
  files: readonly HubFile[],
  format: IndexedFormat,
  readIndex: (file: HubFile) => Promise<string>,
): Promise<readonly HubFile[]> {
  const find = (path: string) => files.find((file) => file.path === path);
  const single = find(format.single);
  if (single) return [single];
  const suffix = format.index.slice(format.index.indexOf('.'));
  const indexes = files.filter(({ path }) => path.endsWith(suffix) && !path.includes('/'));
  const index = find(format.index) ?? (indexes.length === 1 ? indexes[0] : undefined);
  if (index) {
    const shards = shardNames(repo, index.path, await readIndex(index));
    return [index, ...named(repo, files, shards)];
  }
  const others = files.filter(({ path }) => format.other.test(path));
  if (others.length <= 1) return others;
  const available = others.map(({ path }) => path);
  throw new RepositoryFileError({
    repo,
    reason: 'several files with weights and no index; name them (files)',
    available,
  });
}

function shardNames(repo: string, path: string, text: string): string[] {
  try {
    const { weight_map: map } = JSON.parse(text) as { weight_map: Record<string, unknown> };
    const names = [...new Set(Object.values(map))];
    if (names.length > 0 && names.every((name) => typeof name === 'string')) return names as string[];
  } catch {
    // Said below.
  }
  throw new RepositoryFileError({ repo, file: path, reason: `${path} is not an index of shards` });
}
