import { dirname, join } from 'node:path';
import { FormatError, MissingFileError, MissingTensorError } from '../errors';
import type { MetaTensor } from '../meta-tensor';
import { metaFile, openSafetensors, type SafetensorsFile } from '../safetensors/open-safetensors';
import { isPadding } from '../safetensors/padding';
import { readAbsentHeader } from '../safetensors/read-header';
import { type AbsentFiles, AbsentFolder, hereOrAbsent } from './absent-files';
import { type CheckpointLayout, findLayout } from './layout';
import { readConfig } from './read-json';

/** A model's weights on disk, of which only headers were read. */
export interface Checkpoint {
  /** Absolute path of the folder. */
  readonly dir: string;
  readonly layout: CheckpointLayout['layout'];
  /** `config.json`, or null if there is none. */
  readonly config: Record<string, unknown> | null;
  /** Absolute paths of the files with weights. */
  readonly files: readonly string[];
  /** By name; file after file, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, MetaTensor>;
  /** `__metadata__` of each file, parallel to `files`. */
  readonly metadata: readonly ReadonlyMap<string, string>[];
  /** Bytes of all tensors. */
  readonly byteLength: number;
}

/** What {@link openCheckpoint} takes beside the path. */
export interface OpenCheckpointOptions {
  /** Files with weights that the folder will have: of these, headers are read from where they are. */
  absent?: AbsentFiles | undefined;
  signal?: AbortSignal | undefined;
}

/** Headers read at once: enough to hide a drive's latency, few enough for any limit on open files. */
const PARALLEL_HEADERS = 16;

/**
 * Opens a folder (one file, sharded with an index, or layered as @airllm/shard writes it), a single .safetensors file,
 * or an index file. As in transformers, tensors that a shard holds without being in the index belong to the model.
 *
 * Throws `MissingFileError`, `MissingTensorError` (in the index, not in its file), `FormatError` (also for a tensor
 * that lies in two files), `UnsupportedCheckpointError` (no safetensors), `ReadError`, or the signal's reason.
 */
export async function openCheckpoint(dirOrFile: string, options: OpenCheckpointOptions = {}): Promise<Checkpoint> {
  options.signal?.throwIfAborted();
  const { signal } = options;
  const layout = await findLayout(dirOrFile, options.absent?.sizes.keys());
  const config = await readConfig(join(layout.dir, 'config.json'));
  const wanted = filesOf(layout);
  const absent = options.absent && new AbsentFolder(layout.dir, options.absent);
  const opened = await openAll(wanted, { absent, signal });
  const tensors = gather(opened);
  checkPromises(layout, opened, tensors);
  let byteLength = 0;
  for (const tensor of tensors.values()) byteLength += tensor.byteLength;
  return {
    dir: layout.dir,
    layout: layout.layout,
    config,
    files: wanted.map(({ file }) => file),
    tensors,
    metadata: opened.map(({ metadata }) => metadata),
    byteLength,
  };
}

interface WantedFile {
  readonly file: string;
  readonly neededBy: string;
  /** Tensors in it, where something tells. */
  readonly tensors?: number;
}

function filesOf(layout: CheckpointLayout): WantedFile[] {
  switch (layout.layout) {
    case 'single':
      return [{ file: layout.file, neededBy: layout.file }];
    case 'sharded': {
      const { file: neededBy, weightMap } = layout.index;
      const counts = new Map<string, number>();
      for (const name of weightMap.values()) counts.set(name, (counts.get(name) ?? 0) + 1);
      const names = [...counts.keys()].sort();
      return names.map((name) => ({ file: join(dirname(neededBy), name), neededBy, tensors: counts.get(name)! }));
    }
    case 'layered': {
      const { file: neededBy, files } = layout.manifest;
      return files.map(({ name }) => ({ file: join(layout.dir, name), neededBy }));
    }
  }
}

/** Where files are that are not here, and what ends the wait for them. */
interface Elsewhere {
  readonly absent: AbsentFolder | undefined;
  readonly signal: AbortSignal | undefined;
}

async function openAll(files: readonly WantedFile[], elsewhere: Elsewhere): Promise<SafetensorsFile[]> {
  const opened: SafetensorsFile[] = new Array(files.length);
  let next = 0;
  const work = async () => {
    while (next < files.length) {
      elsewhere.signal?.throwIfAborted();
      const index = next++;
      opened[index] = await openOne(files[index]!, elsewhere);
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_HEADERS, files.length) }, work));
  return opened;
}

/** Bytes of a header: its braces and metadata, and of each tensor name, dtype, shape and offsets. */
const HEADER_BYTES = 256;
const HEADER_BYTES_OF_TENSOR = 160;

async function openOne({ file, neededBy, tensors }: WantedFile, elsewhere: Elsewhere): Promise<SafetensorsFile> {
  const { absent, signal } = elsewhere;
  const firstRead = tensors && HEADER_BYTES + tensors * HEADER_BYTES_OF_TENSOR;
  try {
    return await hereOrAbsent(
      file,
      absent,
      () => openSafetensors(file),
      async (folder) => metaFile(await readAbsentHeader(file, folder, { firstRead, signal })),
    );
  } catch (error) {
    if (MissingFileError.isInstance(error)) throw new MissingFileError({ file, neededBy, cause: error.cause });
    throw error;
  }
}

function gather(files: readonly SafetensorsFile[]): Map<string, MetaTensor> {
  const tensors = new Map<string, MetaTensor>();
  for (const { file, tensors: held } of files) {
    for (const [name, tensor] of held) {
      if (isPadding(tensor)) continue;
      const other = tensors.get(name)?.extent?.file;
      if (other !== undefined) throw new FormatError({ file, tensor: name, reason: `it lies in ${other} as well` });
      tensors.set(name, tensor);
    }
  }
  return tensors;
}

/** What index or manifest promise must be there. */
function checkPromises(
  layout: CheckpointLayout,
  opened: readonly SafetensorsFile[],
  tensors: ReadonlyMap<string, MetaTensor>,
): void {
  if (layout.layout === 'sharded') {
    const { file: index, weightMap } = layout.index;
    for (const [tensor, name] of weightMap) {
      const promised = join(dirname(index), name);
      const found = tensors.get(tensor)?.extent?.file;
      if (found === promised) continue;
      const instead = found === undefined ? 'which does not hold it' : `but it lies in ${found}`;
      throw new MissingTensorError({ tensor, file: promised, reason: `${index} puts it into ${promised}, ${instead}` });
    }
  }
  if (layout.layout === 'layered') {
    for (const [i, { bytes }] of layout.manifest.files.entries()) {
      const { file, fileBytes } = opened[i]!;
      if (fileBytes === bytes) continue;
      throw new FormatError({ file, reason: `${fileBytes} bytes, but ${layout.manifest.file} says ${bytes}` });
    }
  }
}
