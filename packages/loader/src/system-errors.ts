import { MissingFileError, ReadError, WriteError } from './errors';

/** The system's name of an error (`ENOSPC`), from what Node throws. */
export function errnoName(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

/** What the system said about a file or folder that could not be opened. */
export function openFailure(file: string, cause: unknown): MissingFileError | ReadError {
  const errno = errnoName(cause);
  if (errno === 'ENOENT') return new MissingFileError({ file, neededBy: file, cause });
  return new ReadError({ file, offset: 0, expected: 0, found: 0, errno, cause });
}

const WRITE_ADVICE: Readonly<Record<string, string | undefined>> = {
  ENOSPC: ': the drive is full; free some space or choose another',
  EDQUOT: ': the quota is used up',
  EROFS: ': the drive is read-only',
};

/** What the system said about a file that could not be written. */
export function writeFailure(file: string, cause: unknown): WriteError {
  const errno = errnoName(cause);
  const reason = `cannot be written: ${errno ?? (cause as Error).message}${WRITE_ADVICE[errno ?? ''] ?? ''}`;
  return new WriteError({ file, errno, reason, cause });
}
