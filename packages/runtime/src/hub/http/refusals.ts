import {
  GatedRepositoryError,
  HubAccessError,
  HubError,
  RepositoryFileError,
  RepositoryNotFoundError,
  RevisionNotFoundError,
  shownUrl,
} from '../errors';
import { Passing, retryAfterMs } from './retry';
import type { HubResponse } from './transport';

/** What was asked, for messages. */
export interface Asked {
  readonly repo: string;
  readonly revision: string;
  readonly path?: string | undefined;
}

export interface RefusalContext {
  readonly endpoint: string;
  readonly token: boolean;
  /** Repositories in the cache with a similar name. */
  readonly nearest: (repo: string) => Promise<readonly string[]>;
}

/** The error for an answer of 400 and more: a `Passing` one where trying again may help. */
export async function refusal(response: HubResponse, asked: Asked, context: RefusalContext): Promise<Error> {
  const { status, headers } = response;
  const url = shownUrl(response.url);
  const code = headers['x-error-code'];
  const message = headers['x-error-message'] ?? '';
  const { repo, revision, path } = asked;
  const { token, endpoint } = context;
  const facts = { url, status, repo, token };
  if (status === 429 || status === 408 || status >= 500) {
    const reason = status === 429 ? 'too many requests' : `the server answered ${status}`;
    return new Passing({ url, reason, status, retryAfterMs: retryAfterMs(headers['retry-after']) });
  }
  if (code === 'GatedRepo') return new GatedRepositoryError({ ...facts, endpoint });
  if (code === 'RevisionNotFound') return new RevisionNotFoundError({ ...facts, revision });
  if (code === 'EntryNotFound' || (status === 404 && path !== undefined && code === undefined)) {
    return new RepositoryFileError({ ...facts, file: path ?? '', reason: `there is no file ${path} at ${revision}` });
  }
  // Without a token the Hub answers 401 for what is missing, too; a token it does not know it calls by that name.
  const unknownToken = /invalid credentials|invalid username or password/i.test(message) && token;
  if (code === 'RepoNotFound' || status === 404 || (status === 401 && !unknownToken)) {
    return new RepositoryNotFoundError({ ...facts, nearest: await context.nearest(repo) });
  }
  if (status === 401 || status === 403) return new HubAccessError({ url, status, token, message });
  return new HubError('ERR_HUB', `${url}: the Hub answered ${status}${message ? `: ${message}` : ''}`, { url, status });
}
