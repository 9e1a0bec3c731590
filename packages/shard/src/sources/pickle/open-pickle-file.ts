import { FormatError } from '@airllm/loader';
import type { RangedFile, SourceFiles } from '../source-files';
import { readLegacyCheckpoint } from './legacy-checkpoint';
import type { PickleTensor } from './pickle-tensor';
import { type SavedObject, stateDictTensors } from './state-dict';
import { readZipCheckpoint } from './zip-checkpoint';

/** A PyTorch checkpoint file of which directory and pickle were read, but no weight. */
export interface PickleFile {
  readonly file: string;
  /** By name, in the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, PickleTensor>;
}

/**
 * Opens one file that `torch.save` wrote, whatever its name. Executes nothing of it, and allocates less than 64 MB
 * whatever it claims. Throws `UnsafePickleError`, `FormatError`, `MissingFileError`, `ReadError`.
 */
export function openPickleFile(file: string, neededBy: string, files: SourceFiles): Promise<PickleFile> {
  return files.with(file, neededBy, async (opened) => {
    const start = await opened.read(0, Math.min(opened.size, START_BYTES));
    const saved = isZip(start) ? await readZipCheckpoint(opened) : await readOther(opened, start);
    return { file, tensors: stateDictTensors(file, saved) };
  });
}

/** Up to the magic of a tar archive. */
const START_BYTES = 262;
const PICKLE_PROTO = 0x80;

function isZip(start: Uint8Array): boolean {
  return text(start, 0, 4) === 'PK\x03\x04';
}

async function readOther(file: RangedFile, start: Uint8Array): Promise<SavedObject> {
  if (start[0] === PICKLE_PROTO) return readLegacyCheckpoint(file);
  const known = whatElse(file, start);
  if (known === undefined) await nameWhatItAsksFor(file);
  const reason = known ?? 'it is no PyTorch checkpoint: neither a zip archive nor a pickle of protocol 2 or later';
  throw new FormatError({ file: file.path, reason });
}

/** A pickle of protocol 0 or 1 is no checkpoint, but what it would call deserves its name. */
async function nameWhatItAsksFor(file: RangedFile): Promise<void> {
  await readLegacyCheckpoint(file).catch((error: unknown) => {
    if (!FormatError.isInstance(error)) throw error;
  });
}

function whatElse(file: RangedFile, start: Uint8Array): string | undefined {
  if (file.size === 0) return 'it is empty: the download failed; download it again';
  if (text(start, 0, 23) === 'version https://git-lfs') {
    return 'it is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`';
  }
  if (text(start, 0, 1) === '<') {
    return 'it is an HTML or XML page, not weights; the download got an error page: download it again';
  }
  if (text(start, 0, 4) === 'GGUF') return 'it is a GGUF file, not a PyTorch checkpoint';
  if (text(start, 257, 5) === 'ustar') {
    return 'it is a tar archive, as PyTorch wrote before 0.1.10; load and save it with a newer one';
  }
  return undefined;
}

function text(bytes: Uint8Array, from: number, length: number): string {
  return Buffer.from(bytes.subarray(from, from + length)).toString('latin1');
}
