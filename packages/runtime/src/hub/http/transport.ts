import type { IncomingHttpHeaders } from 'node:http';
import type { Connections } from './connections';
import type { Exchange } from './exchange';
import { type ProxySettings, proxySettings } from './proxies';

/** One answer; its body must be received, discarded or destroyed. */
export interface HubResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The address that answered in the end. */
  readonly url: string;
  readonly body: Pick<Exchange, 'receive' | 'discard' | 'destroy'>;
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

/** Requests to a Hub and its CDN, through the proxies that the environment names. It follows no redirect. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #origin: string;
  readonly #proxies: ProxySettings = proxySettings();
  #connections: Promise<Connections> | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#origin = new URL(options.endpoint).origin;
  }

  async request(address: string, { method = 'GET', headers = {}, signal }: HubRequest = {}): Promise<HubResponse> {
    signal?.throwIfAborted();
    const url = new URL(address);
    this.#connections ??= this.#open();
    const connection = await (await this.#connections).take(url, signal);
    const authorization = this.#authorization(url);
    const all = { 'user-agent': '@airllm/runtime', ...headers, ...authorization };
    const body = connection.exchange(url, method, all, signal);
    const answer = await body.answer;
    return { status: answer.statusCode as number, headers: flat(answer.headers), url: address, body };
  }

  /** Ends all connections at once. */
  async close(): Promise<void> {
    (await this.#connections)?.close();
  }

  /** Node's http and tls take time to load, and most processes never ask a Hub. */
  async #open(): Promise<Connections> {
    const { Connections } = await import('./connections');
    return new Connections({ stallTimeoutMs: this.#options.stallTimeoutMs, proxies: this.#proxies });
  }

  #authorization(url: URL): Record<string, string> {
    const { token } = this.#options;
    return token !== undefined && url.origin === this.#origin ? { authorization: `Bearer ${token}` } : {};
  }
}

function flat(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  );
}
