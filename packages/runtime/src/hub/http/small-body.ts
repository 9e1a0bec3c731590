import { gunzipSync } from 'node:zlib';
import { ConnectionError } from './connection-error';
import type { HubResponse } from './transport';

/** What is held in memory as a whole is at most so large. */
export const MAX_SMALL_FILE = 64 * 2 ** 20;
const FIRST_BYTES = 2 ** 16;

/** The body in memory. It must not be longer than the limit, or is cut there. */
export async function collect(response: HubResponse, limit: number, beyond: 'refuse' | 'cut' = 'refuse') {
  const { headers, body } = response;
  let bytes = Buffer.allocUnsafe(Math.min(limit, Number(headers['content-length'] ?? FIRST_BYTES)) + 1);
  let length = 0;
  const received = body.receive({
    room() {
      if (length === bytes.length) bytes = Buffer.concat([bytes], Math.min(limit + 1, 2 * length));
      return bytes.subarray(length);
    },
    filled(count) {
      length += count;
      if (length <= limit) return undefined;
      throw new ConnectionError(`more than ${limit} bytes came`);
    },
  });
  await received.catch((error) => {
    if (beyond === 'refuse' || length <= limit) throw error;
  });
  return bytes.subarray(0, Math.min(length, limit));
}

/** The body as the file has it. Throws `ConnectionError` for one that cannot be decoded. */
export function decoded({ headers }: HubResponse, body: Buffer): Buffer {
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding === 'identity') return body;
  if (encoding !== 'gzip') throw new ConnectionError(`the body is encoded as ${encoding}`);
  try {
    return gunzipSync(body, { maxOutputLength: MAX_SMALL_FILE });
  } catch (cause) {
    throw new ConnectionError('the compressed body is broken', { cause });
  }
}
