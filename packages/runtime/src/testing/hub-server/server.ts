import { createHmac, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { ContentSource } from './content';
import { type FaultRule, Faults, type Route } from './faults';
import { type RepoOptions, type ServedFile, ServedRepo } from './repos';
import { sendContent } from './send';

/** What was asked of the server and what it sent. */
export interface RequestRecord {
  readonly route: Route | 'unknown';
  readonly method: string;
  readonly url: string;
  readonly repo: string;
  /** Path of the file in its repository; empty where none is meant. */
  readonly path: string;
  range: { readonly from: number; readonly to: number } | null;
  readonly headers: IncomingMessage['headers'];
  status: number;
  /** Bytes of the body handed to the connection. */
  bytes: number;
}

export interface HubServerOptions {
  /** Entries per page of the tree, so that small repositories have several. @defaultValue 1000 */
  readonly pageSize?: number;
  /** Signed addresses of the CDN live so long. @defaultValue 3600 */
  readonly signedSeconds?: number;
  /** All tokens that belong to somebody; any other is answered 401. @defaultValue every token */
  readonly tokens?: readonly string[];
  /** Address of another server that has the LFS files in place of the CDN, at `/<repo>/<commit>/<path>`. */
  readonly cdnUrl?: string;
  /** Of the CDN, for localhost: it is encrypted then. */
  readonly certificate?: { readonly key: string; readonly cert: string };
}

/**
 * A Hugging Face Hub on loopback: model info, tree, resolve, and a CDN of another origin that LFS files are redirected to.
 * It serves from memory or disk, remembers what was asked, and can be told to misbehave.
 */
export class HubServer {
  /** For HF_ENDPOINT. */
  readonly url: string;
  readonly cdnUrl: string;
  readonly requests: RequestRecord[] = [];
  readonly faults = new Faults();
  readonly #repos = new Map<string, ServedRepo>();
  readonly #secret = randomBytes(16);

  private constructor(
    readonly options: HubServerOptions,
    readonly servers: readonly [Server, Server],
  ) {
    const [hub, cdn] = servers;
    this.url = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
    const cdnHost = options.certificate ? 'https://localhost' : 'http://127.0.0.1';
    this.cdnUrl = options.cdnUrl ?? `${cdnHost}:${(cdn.address() as AddressInfo).port}`;
    hub.on('request', (request, response) => void this.#serve(request, response, 'hub'));
    cdn.on('request', (request, response) => void this.#serve(request, response, 'cdn'));
  }

  static async start(options: HubServerOptions = {}): Promise<HubServer> {
    const { certificate } = options;
    const servers = [createServer(), certificate ? createTlsServer(certificate) : createServer()] as const;
    for (const server of servers) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
    return new HubServer(options, servers);
  }

  async addRepo(id: string, files: Readonly<Record<string, ContentSource>>, options: RepoOptions = {}) {
    const repo = new ServedRepo(id, options);
    await repo.commit(files);
    this.#repos.set(id, repo);
    return repo;
  }

  /** Returns a function that takes the fault back. */
  fault(rule: FaultRule): () => void {
    return this.faults.add(rule);
  }

  /** Bytes of file bodies sent so far. */
  get bytesSent(): number {
    return this.requests.reduce((sum, { route, bytes }) => sum + (route === 'info' || route === 'tree' ? 0 : bytes), 0);
  }

  async close(): Promise<void> {
    for (const server of this.servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse, host: 'hub' | 'cdn'): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const site = host === 'cdn' ? cdnSite(url) : hubSite(url);
    const record: RequestRecord = {
      route: site?.route ?? 'unknown',
      method: request.method ?? 'GET',
      url: url.pathname + url.search,
      repo: site?.repo ?? '',
      path: site?.path ?? '',
      range: null,
      headers: request.headers,
      status: 0,
      bytes: 0,
    };
    this.requests.push(record);
    response.on('finish', () => {
      record.status = response.statusCode;
      if (site?.route === 'info' || site?.route === 'tree')
        record.bytes = Number(response.getHeader('content-length') ?? 0);
    });
    response.on('error', () => {});
    try {
      if (!site) return refuse(response, 404, undefined, 'Not found');
      await this.#answer(request, response, site, url, record);
    } catch (error) {
      if (!response.headersSent) refuse(response, 500, undefined, (error as Error).message);
      else response.destroy();
    }
  }

  async #answer(
    request: IncomingMessage,
    response: ServerResponse,
    site: Site,
    url: URL,
    record: RequestRecord,
  ): Promise<void> {
    const repo = this.#repos.get(site.repo);
    const find = () => repo?.commits.get(repo.resolve(site.revision) ?? '')?.get(site.path);
    const asked = rangeOf(request.headers.range, find()?.content.size ?? 0);
    if (asked !== 'unsatisfiable') record.range = asked;

    const faults = this.faults.take({ route: site.route, method: record.method, path: site.path, range: record.range });
    for (const fault of faults) {
      if (fault.kind === 'hook') await fault.run();
      if (fault.kind === 'change') await repo?.replace(repo.resolve(site.revision) ?? '', site.path, fault.content);
    }
    const status = faults.find((fault) => fault.kind === 'status');
    if (status) {
      for (const [name, value] of Object.entries(status.headers ?? {})) response.setHeader(name, value);
      return refuse(response, status.status, undefined, `told to answer ${status.status}`);
    }

    const refusal = site.route === 'cdn' ? this.#refuseSignature(url) : this.#refuseAccess(request, repo, site.route);
    if (refusal) return refuse(response, refusal.status, refusal.code, refusal.message);
    if (!repo) return refuse(response, 404, 'RepoNotFound', 'Repository not found');
    const commit = repo.resolve(site.revision);
    if (commit === undefined) return refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${site.revision}`);
    if (site.route === 'info') return sendJson(response, modelInfo(repo, commit));
    if (site.route === 'tree') return this.#sendTree(response, repo, commit, url);

    response.setHeader('x-repo-commit', commit);
    const current = find();
    if (!current) return refuse(response, 404, 'EntryNotFound', 'Entry not found');
    const etag = `"${current.sha256 ?? current.oid}"`;
    if (site.route === 'resolve' && current.sha256 !== undefined) {
      response.writeHead(302, {
        'x-linked-etag': etag,
        'x-linked-size': String(current.content.size),
        location: this.#signed(site, commit),
        'content-length': '0',
      });
      return void response.end();
    }
    // As S3 does, the CDN has an ETag of its own that says nothing of the sha256.
    const headers = { etag: site.route === 'cdn' ? `"${current.oid.slice(0, 32)}-1"` : etag };
    const conditional = request.headers['if-range'];
    const wanted = rangeOf(request.headers.range, current.content.size);
    const range = conditional !== undefined && conditional !== headers.etag ? null : wanted;
    if (range === 'unsatisfiable') {
      response.writeHead(416, { 'content-range': `bytes */${current.content.size}`, 'content-length': '0' });
      return void response.end();
    }
    const accepts = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
    await sendContent(response, {
      content: current.content,
      range,
      headers,
      head: request.method === 'HEAD',
      gzip: accepts && range === null && site.path.endsWith('.json') && current.sha256 === undefined,
      faults,
      sent: (bytes) => {
        record.bytes += bytes;
      },
    });
  }

  #refuseAccess(request: IncomingMessage, repo: ServedRepo | undefined, route: Route) {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (token !== undefined && this.options.tokens && !this.options.tokens.includes(token)) {
      return { status: 401, code: undefined, message: 'Invalid credentials in Authorization header' };
    }
    // Without a token the Hub does not say whether a repository is missing or private.
    const hidden = !repo || (repo.options.private && !repo.options.allowed?.includes(token ?? ''));
    if (hidden)
      return { status: token === undefined ? 401 : 404, code: 'RepoNotFound', message: 'Repository not found' };
    if (!repo.options.gated || route !== 'resolve' || repo.options.allowed?.includes(token ?? '')) return null;
    const message = `Access to model ${repo.id} is restricted and you are not in the authorized list.`;
    return { status: token === undefined ? 401 : 403, code: 'GatedRepo', message };
  }

  #sendTree(response: ServerResponse, repo: ServedRepo, commit: string, url: URL) {
    const all = treeOf(repo.commits.get(commit) as Map<string, ServedFile>);
    const { pageSize = 1000 } = this.options;
    const start = Number(url.searchParams.get('cursor') ?? 0);
    if (start + pageSize < all.length) {
      url.searchParams.set('cursor', String(start + pageSize));
      response.setHeader('link', `<${url.href}>; rel="next"`);
    }
    sendJson(response, all.slice(start, start + pageSize));
  }

  #signed(site: Site, commit: string): string {
    const { signedSeconds = 3600 } = this.options;
    const path = `/${site.repo}/${commit}/${site.path.split('/').map(encodeURIComponent).join('/')}`;
    const expires = Math.floor(Date.now() / 1000 + signedSeconds);
    return `${this.cdnUrl}${path}?Expires=${expires}&Signature=${this.#signature(path, String(expires))}`;
  }

  #signature(path: string, expires: string): string {
    return createHmac('sha256', this.#secret).update(`${path}?${expires}`).digest('hex');
  }

  #refuseSignature(url: URL) {
    const expires = url.searchParams.get('Expires') ?? '';
    if (url.searchParams.get('Signature') !== this.#signature(url.pathname, expires)) {
      return { status: 403, code: undefined, message: 'SignatureDoesNotMatch' };
    }
    if (Number(expires) * 1000 < Date.now()) return { status: 403, code: undefined, message: 'Request has expired' };
    return null;
  }
}

interface Site {
  readonly route: Route;
  readonly repo: string;
  readonly revision: string;
  readonly path: string;
}

function hubSite(url: URL): Site | null {
  const pathname = url.pathname;
  const tree = /^\/api\/models\/(.+?)\/tree\/([^/]+)\/?$/.exec(pathname);
  if (tree) return site('tree', tree[1], tree[2], '');
  const info = /^\/api\/models\/(.+?)(?:\/revision\/([^/]+))?$/.exec(pathname);
  if (info) return site('info', info[1], info[2] ?? 'main', '');
  const resolve = /^\/(.+?)\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
  return resolve ? site('resolve', resolve[1], resolve[2], resolve[3]) : null;
}

function cdnSite(url: URL): Site | null {
  const parts = /^\/(.+?)\/([0-9a-f]{40})\/(.+)$/.exec(url.pathname);
  return parts ? site('cdn', parts[1], parts[2], parts[3]) : null;
}

function site(route: Route, repo = '', revision = '', path = ''): Site {
  return { route, repo, revision: decodeURIComponent(revision), path: decodeURIComponent(path) };
}

/** Directories too, as the Hub lists them. */
function treeOf(files: ReadonlyMap<string, ServedFile>) {
  const folders = new Set<string>();
  for (const path of files.keys()) {
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) folders.add(path.slice(0, at));
  }
  return [
    ...[...folders].map((path) => ({ type: 'directory', oid: '0'.repeat(40), size: 0, path })),
    ...[...files.values()].map(({ path, oid, sha256, content }) => ({
      type: 'file',
      oid,
      size: content.size,
      path,
      ...(sha256 === undefined ? {} : { lfs: { oid: sha256, size: content.size, pointerSize: 134 } }),
    })),
  ];
}

function modelInfo(repo: ServedRepo, commit: string) {
  return {
    _id: commit.slice(0, 24),
    id: repo.id,
    modelId: repo.id,
    sha: commit,
    private: repo.options.private ?? false,
    gated: repo.options.gated ?? false,
    disabled: false,
    downloads: 0,
    likes: 0,
    tags: [],
    lastModified: '2026-01-01T00:00:00.000Z',
    siblings: [...(repo.commits.get(commit)?.keys() ?? [])].map((rfilename) => ({ rfilename })),
  };
}

function rangeOf(header: string | undefined, size: number): { from: number; to: number } | 'unsatisfiable' | null {
  const parts = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!parts || (parts[1] === '' && parts[2] === '')) return null;
  if (parts[1] === '') return { from: Math.max(0, size - Number(parts[2])), to: size };
  const from = Number(parts[1]);
  const to = parts[2] === '' ? size : Math.min(size, Number(parts[2]) + 1);
  return from < to ? { from, to } : 'unsatisfiable';
}

function sendJson(response: ServerResponse, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  response.setHeader('content-type', 'application/json');
  response.setHeader('content-length', body.length);
  response.end(body);
}

function refuse(response: ServerResponse, status: number, code: string | undefined, message: string): void {
  const body = Buffer.from(JSON.stringify({ error: message }));
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': String(body.length),
    'x-error-message': message,
    ...(code === undefined ? {} : { 'x-error-code': code }),
  });
  response.end(body);
}
