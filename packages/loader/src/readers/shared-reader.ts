import type { Reader } from '../reader';
import { openReader } from './open-reader';

/** How long the thread waits for the next tensor before it goes. */
const LINGER_MS = 500;

let open: Promise<Reader> | undefined;
let users = 0;
let timer: NodeJS.Timeout | undefined;

/**
 * A plain reader of one thread for `materialize()` without a reader of its own: starting a thread for each tensor
 * would take longer than reading it. It goes when nobody has wanted it for a moment.
 */
export async function withSharedReader<T>(use: (reader: Reader) => Promise<T>): Promise<T> {
  clearTimeout(timer);
  users++;
  open ??= openReader({ kind: 'plain', threads: 1, pageCache: 'keep' });
  try {
    return await use(await open);
  } finally {
    if (--users === 0) timer = setTimeout(retire, LINGER_MS).unref();
  }
}

async function retire(): Promise<void> {
  if (users > 0) return;
  const reader = await open;
  // Somebody may have come while it was awaited.
  if (users > 0) return;
  open = undefined;
  await reader?.close();
}
