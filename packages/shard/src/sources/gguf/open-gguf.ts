import { basename, dirname, join, resolve } from 'node:path';
import { FormatError, MissingFileError, UnsupportedCheckpointError } from '@airllm/loader';
import { SourceFiles } from '../source-files';
import { GgufMetadata } from './metadata';
import { type GgufHeader, readGgufHeader } from './read-header';
import type { GgufTensor } from './tensor-info';

/** A GGUF model, in one file or in several, of which only headers were read. */
export interface Gguf {
  /** Absolute paths, in the order of the parts. */
  readonly files: readonly string[];
  /** Of the first part, which alone has more than the split's own keys. */
  readonly metadata: GgufMetadata;
  /** By name, in the order of the headers. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  /** Where more of the files is read from. */
  readonly source: SourceFiles;
}

/** What gguf-split makes of a name: `model-00001-of-00003.gguf`. */
const SPLIT_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/**
 * Opens a GGUF file, or all parts of a split one, whichever part is named. Throws `FormatError`, `MissingFileError`,
 * `ReadError`.
 */
export async function openGguf(path: string, source: SourceFiles = new SourceFiles()): Promise<Gguf> {
  const headers: GgufHeader[] = [];
  for (const file of partsOf(resolve(path))) {
    headers.push(await readPart(file, resolve(path), source));
  }
  const [first] = headers as [GgufHeader];
  const metadata = new GgufMetadata(first.file, first.metadata, source);
  const tensors = new Map<string, GgufTensor>();
  for (const tensor of headers.flatMap((header) => header.tensors)) {
    const other = tensors.get(tensor.name);
    if (other)
      throw new FormatError({ file: tensor.file, tensor: tensor.name, reason: `it lies in ${other.file} too` });
    tensors.set(tensor.name, tensor);
  }
  checkSplit(headers, metadata, tensors.size, source);
  return { files: headers.map(({ file }) => file), metadata, tensors, source };
}

function partsOf(file: string): string[] {
  const match = SPLIT_NAME.exec(basename(file));
  if (match === null) return [file];
  const [, prefix, , count] = match as unknown as [string, string, string, string];
  const name = (no: number) => `${prefix}-${String(no).padStart(5, '0')}-of-${count}.gguf`;
  return Array.from({ length: Number(count) }, (_, i) => join(dirname(file), name(i + 1)));
}

async function readPart(file: string, asked: string, source: SourceFiles): Promise<GgufHeader> {
  try {
    return await readGgufHeader(file, source);
  } catch (error) {
    if (MissingFileError.isInstance(error)) throw new MissingFileError({ file, neededBy: asked, cause: error.cause });
    throw error;
  }
}

/** Each part says which it is and of how many, and all say how many tensors there are. */
function checkSplit(
  headers: readonly GgufHeader[],
  first: GgufMetadata,
  tensorCount: number,
  source: SourceFiles,
): void {
  const count = first.int('split.count', 0) ?? 1;
  const parts = headers.length;
  if (Math.max(count, 1) !== parts) {
    const reason =
      parts === 1
        ? `it is one of ${count} parts, but its name is not like model-00001-of-${String(count).padStart(5, '0')}.gguf`
        : `metadata "split.count" is ${count}, but its name says ${parts} parts`;
    throw new FormatError({ file: first.file, reason });
  }
  if (parts === 1) return;
  for (const [i, header] of headers.entries()) {
    const metadata = new GgufMetadata(header.file, header.metadata, source);
    const no = metadata.int('split.no', 0);
    if (no !== i) metadata.fail('split.no', `is ${no}, expected ${i}`);
    const claimed = metadata.int('split.tensors.count', 0);
    if (claimed !== tensorCount)
      metadata.fail('split.tensors.count', `is ${claimed}, but the parts hold ${tensorCount}`);
  }
}

/**
 * Which of a folder's GGUF files is the model: the first part of the only one, or `model.gguf`. Throws
 * `UnsupportedCheckpointError` where there are several.
 */
export function chooseGguf(dir: string, names: readonly string[]): string {
  // Beside a model's own file, `mmproj-…` holds the vision encoder.
  const files = names.filter((name) => !name.startsWith('mmproj')).sort();
  const models = files.filter((name) => Number(SPLIT_NAME.exec(name)?.[2] ?? 1) === 1);
  if (models.includes('model.gguf')) return 'model.gguf';
  if (models.length === 1) return models[0]!;
  // Parts without their first: opening any of them says what is missing.
  if (models.length === 0) return files[0] ?? names[0]!;
  const reason = `several GGUF models lie here: open one of ${models.join(', ')} by its own path`;
  throw new UnsupportedCheckpointError({ dir, found: names, reason });
}
