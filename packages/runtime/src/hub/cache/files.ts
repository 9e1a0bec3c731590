import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AirllmError, makeFolder, WriteError } from '@airllm/loader';
import { NoSpaceError } from '@airllm/shard';

/** What a drive needs beside the files themselves, and for others to go on working. */
const MARGIN_BYTES = 16 * 2 ** 20;

/** Throws `NoSpaceError` unless so many bytes can still be written below a folder. */
export async function checkSpace(dir: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  const available = bavail * bsize;
  if (bytes > 0 && bytes + MARGIN_BYTES > available) {
    throw new NoSpaceError({ dir, needed: bytes + MARGIN_BYTES, available });
  }
}

/** The error that says what to do, for one of writing; others stay as they are. */
export async function writeFailure(error: unknown, file: string, bytesLeft: number): Promise<unknown> {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (AirllmError.isInstance(error) || code === undefined) return error;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const dir = dirname(file);
    const { bavail, bsize } = await statfs(dir).catch(() => ({ bavail: 0, bsize: 0 }));
    return new NoSpaceError({ dir, needed: bytesLeft, available: bavail * bsize, cause: error });
  }
  const reason = WRITE_REASONS[code];
  return reason === undefined
    ? error
    : new WriteError({ file, reason: `${reason} (${code})`, errno: code, cause: error });
}

const WRITE_REASONS: Readonly<Record<string, string | undefined>> = {
  EACCES: 'cannot be written; check who owns the cache, or give another one (cacheDir, HF_HUB_CACHE)',
  EPERM: 'cannot be written; check who owns the cache, or give another one (cacheDir, HF_HUB_CACHE)',
  ENOTDIR: 'cannot be made: a part of its path is a file; give another cache (cacheDir, HF_HUB_CACHE)',
  EROFS: 'is on a drive that cannot be written; give another cache (cacheDir, HF_HUB_CACHE)',
  EFBIG: 'is larger than its drive allows; give a cache on another drive (cacheDir, HF_HUB_CACHE)',
  EIO: 'the drive failed to write; check its health',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open',
};

export async function ensureFolder(dir: string): Promise<void> {
  try {
    await makeFolder(dir);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const known = FOLDER_REASONS[code ?? ''];
    if (known === undefined) throw await writeFailure(error, dir, 0);
    const reason = `${known}; give another cache (cacheDir, HF_HUB_CACHE)`;
    throw new WriteError({ file: dir, reason, errno: code, cause: error });
  }
}

const FOLDER_REASONS: Readonly<Record<string, string | undefined>> = {
  ENOENT: 'no folder can be made there',
  EEXIST: 'cannot be made: a part of its path is a file, or a link to nothing',
};
