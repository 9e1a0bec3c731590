const MEANINGS: Readonly<Record<string, string | undefined>> = {
  ENOENT: 'there is no such file or folder',
  EISDIR: 'it is a folder, expected a file',
  ENOTDIR: 'a part of this path is a file, expected a folder',
  EACCES: 'access is denied',
  EPERM: 'the system does not permit it',
  EROFS: 'the drive is read-only',
  ENOSPC: 'the drive is full',
  EDQUOT: 'the quota is used up',
};

/** What the file system said, in words and by name; undefined for any other error. */
export function systemMessage(error: unknown): string | undefined {
  const { syscall, code, path, message } = (error ?? {}) as NodeJS.ErrnoException;
  if (typeof syscall !== 'string') return undefined;
  const meaning = MEANINGS[code ?? ''];
  return path === undefined || meaning === undefined ? message : `${path}: ${meaning} (${code})`;
}
