import { join } from 'node:path';
import type { PullOptions } from '../hub';
import type { HubContent, HubServer } from './hub-server';
import { temporaryFolder } from './temporary';

/** Attempts without the pauses of real life. */
const QUICK_RETRY = { baseMs: 5, maxMs: 1500, attempts: 5 };

/** Options for a pull from a test's own Hub into a cache of its own: nothing of the environment counts. */
export function hubOptions(server: HubServer, more: Partial<PullOptions> = {}): PullOptions & { cacheDir: string } {
  const own = { endpoint: server.url, token: false, offline: false, retry: QUICK_RETRY } as const;
  return { ...own, ...more, cacheDir: more.cacheDir ?? join(temporaryFolder(), 'hub') };
}

export async function bytesOf(source: string | HubContent): Promise<Buffer> {
  return Buffer.from(typeof source === 'string' ? source : await source.read(0, source.size));
}
