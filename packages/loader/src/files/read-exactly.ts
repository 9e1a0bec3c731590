import { ReadError } from '../errors';
import type { Extent } from '../extent';
import { errnoName } from '../system-errors';

/** What reads from an open file: the part of Node's `FileHandle` that is needed, whose types users may not have. */
export interface OpenFile {
  read(into: Uint8Array, at: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
}

/** The bytes of an extent of a file that is open: all of them, never zeros. Throws `ReadError`. */
export async function readExactly(open: OpenFile, { file, offset, length }: Extent): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await open.read(bytes, done, length - done, offset + done).catch((cause: unknown) => {
      throw new ReadError({ file, offset, expected: length, found: done, errno: errnoName(cause), cause });
    });
    if (bytesRead === 0) throw new ReadError({ file, offset, expected: length, found: done });
    done += bytesRead;
  }
  return bytes;
}
