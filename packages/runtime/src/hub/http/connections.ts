import { connect } from './connect';
import { Connection } from './connection';
import { ConnectionError } from './connection-error';
import { type ProxySettings, proxyFor } from './proxies';

/** Connections to hosts, straight or through a proxy, kept for the next request. */
export class Connections {
  /** By origin. */
  readonly #idle = new Map<string, Connection[]>();
  readonly #open = new Set<Connection>();
  #closed = false;

  constructor(private readonly options: { readonly stallTimeoutMs: number; readonly proxies: ProxySettings }) {}

  /** One that is free, or a new one. It comes back by itself. */
  async take(url: URL, signal?: AbortSignal): Promise<Connection> {
    signal?.throwIfAborted();
    const idle = this.#idle.get(url.origin)?.pop();
    if (idle) return idle;
    const { stallTimeoutMs, proxies } = this.options;
    const connection = new Connection({
      stallTimeoutMs,
      onIdle: () => {
        const others = this.#idle.get(url.origin);
        if (others) others.push(connection);
        else this.#idle.set(url.origin, [connection]);
      },
      onClosed: () => {
        this.#open.delete(connection);
        const others = this.#idle.get(url.origin);
        if (others?.includes(connection)) others.splice(others.indexOf(connection), 1);
      },
    });
    const proxy = proxyFor(url, proxies);
    const socket = await connect(url, {
      proxy: proxy === undefined || proxy.includes('://') ? proxy : `http://${proxy}`,
      onread: connection.onread,
      timeoutMs: stallTimeoutMs,
      signal,
    });
    connection.attach(socket);
    this.#open.add(connection);
    if (!this.#closed) return connection;
    connection.destroy();
    throw new ConnectionError('the connection was closed');
  }

  /** Ends all at once. */
  close(): void {
    this.#closed = true;
    for (const connection of [...this.#open]) connection.destroy();
  }
}
