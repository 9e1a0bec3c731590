import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, connect as netConnect, type OnReadOpts, type Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { ConnectionError } from './connection-error';

export interface ConnectOptions {
  /** The proxy to go through, with its protocol. */
  readonly proxy: string | undefined;
  readonly onread: OnReadOpts;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A socket to the host of an address, encrypted if it is https. Throws what the system says, or `ConnectionError`. */
export async function connect(url: URL, { proxy, onread, timeoutMs, signal }: ConnectOptions): Promise<Socket> {
  const host = bareHost(url);
  const port = portOf(url);
  const secure = url.protocol === 'https:';
  const tls = { servername: isIP(host) ? '' : host, ALPNProtocols: ['http/1.1'] };
  if (proxy === undefined) {
    // The types of tls.connect do not know of `onread`, which it hands on to its socket.
    const target = { host, port, onread };
    const socket = secure ? tlsConnect({ ...target, ...tls }) : netConnect(target);
    return settled(socket, secure ? 'secureConnect' : 'connect', timeoutMs, signal);
  }
  const tunnel = await openTunnel(new URL(proxy), `${url.hostname}:${port}`, timeoutMs, signal);
  return secure ? settled(tlsConnect({ socket: tunnel, ...tls }), 'secureConnect', timeoutMs, signal) : tunnel;
}

/** Asks a proxy for a connection to `authority`. The name and password in its address go to it alone. */
function openTunnel(proxy: URL, authority: string, timeoutMs: number, signal?: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { username, password } = proxy;
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    const authorization = { 'proxy-authorization': `Basic ${Buffer.from(credentials).toString('base64')}` };
    const asked = (proxy.protocol === 'https:' ? httpsRequest : httpRequest)({
      host: bareHost(proxy),
      port: portOf(proxy),
      method: 'CONNECT',
      path: authority,
      agent: false,
      headers: { host: authority, ...(username ? authorization : {}) },
      timeout: timeoutMs,
      ...(signal ? { signal } : {}),
    });
    const refused = (status: number | undefined) => {
      asked.destroy();
      reject(new ConnectionError(`the proxy ${proxy.host} answered ${status} when it was asked for ${authority}`));
    };
    asked.on('connect', ({ statusCode }, socket) => {
      if (statusCode !== 200) return refused(statusCode);
      socket.setTimeout(0);
      resolve(socket);
    });
    asked.on('response', ({ statusCode }) => refused(statusCode));
    asked.on('timeout', () => {
      asked.destroy();
      reject(new ConnectionError(`the proxy ${proxy.host} did not answer in time`));
    });
    asked.on('error', (error) => reject(signal?.aborted ? signal.reason : error));
    asked.end();
  });
}

function settled(socket: Socket, event: string, timeoutMs: number, signal?: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const finish = (error?: unknown) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('error', finish).off('close', onClose);
      if (error === undefined) return resolve(socket);
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    };
    const onAbort = () => finish(signal?.reason);
    const onClose = () => finish(new ConnectionError('the connection was cut'));
    const timer = setTimeout(() => finish(new ConnectionError('no connection in time')), timeoutMs);
    socket.once(event, () => finish());
    socket.on('error', finish).on('close', onClose);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
  });
}

function bareHost({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}

function portOf({ port, protocol }: URL): number {
  return Number(port) || (protocol === 'https:' ? 443 : 80);
}
