import type { Dispatcher } from 'undici';
import { shownUrl } from './errors';
import { Connections } from './proxies';

/** One answer; its body must be read or destroyed. */
export interface HubResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The address that answered in the end. */
  readonly url: string;
  readonly body: Dispatcher.ResponseData['body'];
}

export interface HubRequest {
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

export interface TransportOptions {
  /** The token goes to this address' origin only. */
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly stallTimeoutMs: number;
}

/** Connections to a Hub and its CDN, through the proxies that the environment names. It follows no redirect. */
export class Transport {
  readonly #connections: Connections;
  readonly #options: TransportOptions;
  readonly #origin: string;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#origin = new URL(options.endpoint).origin;
    this.#connections = new Connections({
      headersTimeout: options.stallTimeoutMs,
      bodyTimeout: options.stallTimeoutMs,
      connect: { timeout: options.stallTimeoutMs },
    });
  }

  async request(url: string, { method = 'GET', headers = {}, signal }: HubRequest = {}): Promise<HubResponse> {
    signal?.throwIfAborted();
    // Loading it takes as long as the rest of this package, and most processes never ask a Hub.
    const { request } = await import('undici');
    const response = await request(url, {
      dispatcher: await this.#connections.for(new URL(url)),
      method,
      signal: signal ?? null,
      headers: { 'user-agent': '@airllm/runtime', ...headers, ...this.#authorization(url) },
    });
    return { status: response.statusCode, headers: flat(response.headers), url, body: response.body };
  }

  /** Ends all connections at once. */
  async close(): Promise<void> {
    await this.#connections.destroy();
  }

  #authorization(url: string): Record<string, string> {
    const { token } = this.#options;
    return token !== undefined && new URL(url).origin === this.#origin ? { authorization: `Bearer ${token}` } : {};
  }
}

function flat(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  );
}

/** What went wrong on the way, in words without addresses' queries. */
export function networkReason(error: unknown): string {
  const { code, hostname } = error as { code?: string; hostname?: string };
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return 'the connection stalled';
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'no connection in time';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `the name ${hostname ?? 'of the host'} is not known`;
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (code === 'ECONNRESET' || code === 'UND_ERR_SOCKET') return 'the connection was cut';
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/https?:\/\/\S+/g, (url) => shownUrl(url));
}

/** Whether trying again can help: what the network or a busy server does, not a bug. */
export function isNetworkError(error: unknown): boolean {
  const { code, syscall } = error as { code?: string; syscall?: string };
  if (typeof code !== 'string') return false;
  if (code.startsWith('UND_ERR')) return code !== 'UND_ERR_INVALID_ARG';
  return (
    /^(ECONN|ENET|EHOST|ETIMEDOUT|EPIPE|EAI_AGAIN|ENOTFOUND|HPE_|ERR_SSL|ERR_TLS|ERR_STREAM_PREMATURE)/.test(code) ||
    syscall === 'connect'
  );
}
