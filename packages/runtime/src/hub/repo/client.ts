import { OptionError } from '@airllm/loader';
import type { RetryDelay } from '../../delay';
import { cachedRepos } from '../cache/cache-layout';
import { HubError, OfflineError, shownUrl } from '../errors';
import { answeredRange } from '../http/answered-range';
import { ConnectionError } from '../http/connection-error';
import { follow } from '../http/follow';
import { type Asked, refusal } from '../http/refusals';
import { Passing, Patience } from '../http/retry';
import { collect, decoded, MAX_SMALL_FILE } from '../http/small-body';
import { type HubRequest, type HubResponse, Transport } from '../http/transport';
import type { ByteRange } from '../range-set';
import { type HubSettings, resolveHubSettings } from '../settings';
import type { Hub, HubCallOptions, HubFile, HubFileAddress, HubModelInfo, HubOptions } from '../types';
import { nearestNames } from './nearest';

/** `org/name`, or `name` for the oldest models. */
export const REPO_ID = /^(?!.*(--|\.\.))(?:[\w.-]+\/)?[\w.-]+$/;
/** Before anything has come, nothing is lost: who has no network should hear it within seconds. */
const FIRST_ATTEMPTS = 4;

/** A client of the Hub that the options or the environment name. It holds connections until closed. */
export async function openHub(options: HubOptions = {}): Promise<Hub> {
  return openClient(options);
}

/** The same with what the downloads of this folder use. */
export async function openClient(options: HubOptions = {}): Promise<HubClient> {
  return new HubClient(await resolveHubSettings(options));
}

export interface OpenFileOptions extends HubRequest {
  /** Where an earlier request was redirected to. */
  readonly location?: string | undefined;
  readonly range?: ByteRange;
  readonly onRedirect?: (location: string, headers: HubResponse['headers']) => void;
}

interface Attempts {
  /** Path in the repository, where a file is asked for. */
  readonly file?: string | undefined;
  readonly most?: number | undefined;
}

export class HubClient implements Hub {
  readonly #transport: Transport;

  constructor(readonly settings: HubSettings) {
    this.#transport = new Transport(settings);
  }

  get endpoint(): string {
    return this.settings.endpoint;
  }

  get cacheDir(): string {
    return this.settings.cacheDir;
  }

  get offline(): boolean {
    return this.settings.offline;
  }

  async modelInfo(repo: string, revision = 'main', { signal }: HubCallOptions = {}): Promise<HubModelInfo> {
    this.#check(repo, `the revision ${revision} of ${repo}`);
    const { modelInfo } = await import('@huggingface/hub');
    const info = await modelInfo({
      name: repo,
      revision,
      additionalFields: ['sha'],
      hubUrl: this.endpoint,
      fetch: this.#fetch({ repo, revision }, signal),
    });
    if (!/^[0-9a-f]{40}$/.test(String(info.sha))) {
      throw new HubError('ERR_HUB', `${this.endpoint} names no commit for ${repo}@${revision}; is it a Hub?`, {
        url: this.endpoint,
      });
    }
    return { repo: info.name ?? repo, commit: info.sha, gated: info.gated !== false, private: info.private };
  }

  async listFiles(repo: string, commit: string, { signal }: HubCallOptions = {}): Promise<HubFile[]> {
    this.#check(repo, `the list of files of ${repo}`);
    const { listFiles } = await import('@huggingface/hub');
    const found: HubFile[] = [];
    for await (const entry of listFiles({
      repo,
      revision: encodeURIComponent(commit),
      recursive: true,
      hubUrl: this.endpoint,
      fetch: this.#fetch({ repo, revision: commit }, signal),
    })) {
      if (entry.type !== 'file') continue;
      const etag = entry.lfs?.oid ?? entry.oid ?? '';
      if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(etag)) {
        throw new HubError('ERR_HUB', `${this.endpoint}: ${repo}: ${entry.path} has no usable id: ${etag}`);
      }
      found.push({ path: entry.path, size: entry.lfs?.size ?? entry.size, etag, sha256: entry.lfs?.oid });
    }
    return found;
  }

  async readRange(file: HubFileAddress, from: number, to: number, options: HubCallOptions = {}): Promise<Uint8Array> {
    if (!(Number.isSafeInteger(from) && Number.isSafeInteger(to) && 0 <= from && from <= to)) {
      throw new OptionError({ option: 'range', expected: '0 ≤ from ≤ to, both whole', found: [from, to] });
    }
    if (to - from > MAX_SMALL_FILE) {
      throw new OptionError({ option: 'range', expected: `at most ${MAX_SMALL_FILE} bytes`, found: to - from });
    }
    if (from === to) return new Uint8Array();
    this.#check(file.repo, `${file.repo}/${file.path}`);
    return this.attempts(
      options.signal,
      this.fileUrl(file),
      async () => {
        const response = await this.openFile(file, { range: { from, to }, signal: options.signal });
        const answered = answeredRange(response, { from, to });
        // A server without ranges sends the file from its start.
        const skip = from - answered.from;
        const bytes = (await collect(response, skip + to - from, 'cut')).subarray(skip);
        if (bytes.length === Math.max(0, Math.min(to, answered.total ?? to) - from)) return bytes;
        throw new Passing({ url: shownUrl(response.url), reason: `${bytes.length} of ${to - from} bytes came` });
      },
      { file: file.path },
    );
  }

  async readFile(file: HubFileAddress, options: HubCallOptions = {}): Promise<Uint8Array> {
    this.#check(file.repo, `${file.repo}/${file.path}`);
    return this.attempts(
      options.signal,
      this.fileUrl(file),
      async () => {
        const response = await this.openFile(file, { signal: options.signal });
        const body = await collect(response, MAX_SMALL_FILE);
        const length = response.headers['content-length'];
        if (length !== undefined && Number(length) !== body.length) {
          throw new Passing({ url: shownUrl(response.url), reason: `${body.length} of ${length} bytes came` });
        }
        return decoded(response, body);
      },
      { file: file.path },
    );
  }

  async close(): Promise<void> {
    await this.#transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The address that the Hub has for a file; it may redirect from there. */
  fileUrl({ repo, revision, path }: HubFileAddress): string {
    const names = path.split('/').map(encodeURIComponent).join('/');
    return `${this.endpoint}/${repo}/resolve/${encodeURIComponent(revision)}/${names}`;
  }

  /** Does something until it succeeds, with pauses between attempts. */
  async attempts<T>(
    signal: AbortSignal | undefined,
    url: string,
    attempt: () => Promise<T>,
    about: Attempts = {},
  ): Promise<T> {
    const patience = this.patience(signal, about);
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        await patience.failed(error, url);
      }
    }
  }

  patience(signal: AbortSignal | undefined, { file, most = Infinity }: Attempts = {}): Patience {
    const { retry, token, onDelay } = this.settings;
    const attempts = Math.min(retry.attempts, most);
    const onRetry =
      onDelay && ((facts: Omit<RetryDelay, 'type' | 'file'>) => onDelay({ type: 'retrying', file, ...facts }));
    return new Patience({ ...retry, attempts }, { token: token !== undefined, signal, onRetry });
  }

  /**
   * Asks for a file or a range `[from, to)` of it, follows redirects (the token stays behind), and checks that the answer
   * is about that range. Throws typed errors, or `Passing` where another attempt may help.
   */
  async openFile(file: HubFileAddress, options: OpenFileOptions = {}): Promise<HubResponse> {
    const { range, location, onRedirect, headers, ...rest } = options;
    const request = {
      ...rest,
      headers: {
        // Compressed bytes have neither the length nor the ranges that the file has.
        'accept-encoding': 'identity',
        ...headers,
        ...(range ? { range: `bytes=${range.from}-${range.to - 1}` } : {}),
      },
    };
    const response = await follow(this.#transport, location ?? this.fileUrl(file), request, onRedirect);
    if (response.status >= 400) await this.#refuse(response, { ...file });
    return response;
  }

  async #refuse(response: HubResponse, asked: Asked): Promise<never> {
    await response.body.discard();
    const { url, status } = response;
    if (new URL(url).origin !== new URL(this.endpoint).origin && [400, 403, 404, 410].includes(status)) {
      // A signed address has expired: the Hub gives another one.
      throw new Passing({ url: shownUrl(url), reason: `the CDN answered ${status}`, status });
    }
    throw await refusal(response, asked, {
      endpoint: this.endpoint,
      token: this.settings.token !== undefined,
      nearest: async (repo) => nearestNames(repo, await cachedRepos(this.cacheDir)),
    });
  }

  /** `fetch` for the Hub's own client: with our connections, token, attempts and errors. */
  #fetch(asked: Asked, signal: AbortSignal | undefined): typeof fetch {
    return async (input) => {
      const url = input instanceof Request ? input.url : String(input);
      const attempt = async () => {
        // Redirects are those of renamed repositories.
        const response = await follow(this.#transport, url, { headers: { accept: 'application/json' }, signal });
        if (response.status >= 400) await this.#refuse(response, asked);
        return jsonResponse(decoded(response, await collect(response, MAX_SMALL_FILE)), response);
      };
      return this.attempts(signal, url, attempt, { most: FIRST_ATTEMPTS });
    };
  }

  #check(repo: string, what: string): void {
    if (!REPO_ID.test(repo)) {
      throw new OptionError({ option: 'repo', expected: 'the id of a model, org/name', found: repo });
    }
    if (this.offline) throw new OfflineError({ what });
  }
}

/** A proxy's page of welcome comes with 200, too. */
function jsonResponse(body: Buffer, { headers }: HubResponse): Response {
  try {
    JSON.parse(body.toString());
  } catch (cause) {
    throw new ConnectionError('the answer is not JSON; is it a Hub?', { cause });
  }
  const { link } = headers;
  return new Response(body, { headers: { 'content-type': 'application/json', ...(link ? { link } : {}) } });
}
