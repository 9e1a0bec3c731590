import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { bytesOf, hubOptions } from '../testing/hub-options';
import { HubServer, patternContent } from '../testing/hub-server';
import { temporaryFolder } from '../testing/temporary';
import {
  GatedRepositoryError,
  HubAccessError,
  OfflineError,
  RepositoryFileError,
  RepositoryNotFoundError,
  RevisionNotFoundError,
} from './errors';
import { proxyFor } from './http/proxies';
import { pullModel } from './pull-model';
import { openHub } from './repo/client';

const TOKEN = 'hf_a_secret_that_nobody_may_see';
const FILES = { 'config.json': '{}', 'model.safetensors': patternContent(2_000_000, 5) };

let server: HubServer;
beforeAll(async () => {
  server = await HubServer.start({ tokens: [TOKEN, 'hf_other'] });
  await server.addRepo('org/open', FILES);
  await server.addRepo('org/gated', FILES, { gated: 'manual', allowed: [TOKEN] });
  await server.addRepo('org/private', FILES, { private: true, allowed: [TOKEN] });
});
afterAll(() => server.close());
beforeEach(() => {
  const home = temporaryFolder();
  for (const name of [
    'HF_TOKEN',
    'HUGGING_FACE_HUB_TOKEN',
    'HF_TOKEN_PATH',
    'HF_HUB_OFFLINE',
    'TRANSFORMERS_OFFLINE',
  ]) {
    vi.stubEnv(name, undefined);
  }
  for (const name of ['http_proxy', 'https_proxy', 'no_proxy', 'all_proxy']) {
    vi.stubEnv(name, undefined);
    vi.stubEnv(name.toUpperCase(), undefined);
  }
  vi.stubEnv('HF_HOME', home);
  server.requests.length = 0;
});
afterEach(() => vi.unstubAllEnvs());

/** What each request brought. */
const authorizations = () => server.requests.map(({ route, headers }) => `${route} ${headers.authorization ?? 'none'}`);
const fails = async (repo: string, more = {}) => pullModel(repo, hubOptions(server, more)).catch((error) => error);

describe('the token', () => {
  test.each<[string, (home: string) => void]>([
    ['HF_TOKEN', () => vi.stubEnv('HF_TOKEN', `${TOKEN}\n`)],
    ['HUGGING_FACE_HUB_TOKEN', () => vi.stubEnv('HUGGING_FACE_HUB_TOKEN', TOKEN)],
    ['the file HF_HOME/token', (home) => writeFileSync(join(home, 'token'), `${TOKEN}\n`)],
    [
      'the file HF_TOKEN_PATH',
      (home) => {
        mkdirSync(join(home, 'x'));
        writeFileSync(join(home, 'x', 'token'), TOKEN);
        vi.stubEnv('HF_TOKEN_PATH', join(home, 'x', 'token'));
      },
    ],
  ])('comes from %s, and goes to the Hub only', async (_, put) => {
    put(process.env.HF_HOME as string);
    await pullModel('org/gated', hubOptions(server, { token: undefined }));
    const seen = new Set(authorizations());
    expect(seen).toContain(`resolve Bearer ${TOKEN}`);
    expect(seen).toContain(`info Bearer ${TOKEN}`);
    expect(seen).toContain('cdn none');
    expect([...seen].filter((line) => line.startsWith('cdn') && line !== 'cdn none')).toEqual([]);
  });

  test('of the option goes before that of the environment, and false sends none', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_other');
    await pullModel('org/gated', hubOptions(server, { token: TOKEN }));
    server.requests.length = 0;
    await pullModel('org/open', hubOptions(server, { token: false }));
    expect(authorizations().filter((line) => !line.endsWith(' none'))).toEqual([]);
  });

  test('stays out of errors', async () => {
    const answers = { 'info 401': 'wrong', 'cdn 500': TOKEN } as const;
    for (const [site, token] of Object.entries(answers)) {
      const [route, status] = site.split(' ') as ['info' | 'cdn', string];
      const stop = server.fault({ route, fault: { kind: 'status', status: Number(status) } });
      const error = await fails('org/open', { token, retry: { attempts: 2, baseMs: 1 } });
      stop();
      const told = [error.message, error.stack, JSON.stringify(error), String(error.cause)].join('\n');
      expect(told).not.toContain(token === 'wrong' ? 'Bearer' : TOKEN);
      expect(told).not.toContain('Signature=');
    }
  });
});

describe('is refused:', () => {
  test('a repository that is not there, with what its name is like', async () => {
    const options = hubOptions(server);
    for (const name of ['models--org--opens', 'models--org--else'])
      mkdirSync(join(options.cacheDir, name), { recursive: true });
    const error = await pullModel('org/opem', options).catch((thrown) => thrown);
    expect(error).toSatisfy(RepositoryNotFoundError.isInstance);
    expect(error).toMatchObject({ repo: 'org/opem', nearest: ['org/opens'], status: 401 });
    expect(error.message).toMatch(/token/);
    expect(await fails('org/opem', { token: TOKEN })).toMatchObject({ repo: 'org/opem', status: 404 });
  });

  test('a private one without a token that may read it', async () => {
    expect(await fails('org/private')).toSatisfy(RepositoryNotFoundError.isInstance);
    expect(await fails('org/private', { token: 'hf_other' })).toSatisfy(RepositoryNotFoundError.isInstance);
    expect((await pullModel('org/private', hubOptions(server, { token: TOKEN }))).repo).toBe('org/private');
  });

  test('a gated one, with the address where access is asked for', async () => {
    for (const [token, status] of [
      [false, 401],
      ['hf_other', 403],
    ] as const) {
      const error = await fails('org/gated', { token });
      expect(error).toSatisfy(GatedRepositoryError.isInstance);
      expect(error).toMatchObject({ repo: 'org/gated', status });
      expect(error.message).toContain(`${server.url}/org/gated`);
    }
  });

  test('a token that the Hub does not know', async () => {
    const error = await fails('org/open', { token: 'hf_wrong' });
    expect(error).toSatisfy(HubAccessError.isInstance);
    expect(error).toMatchObject({ status: 401 });
  });

  test('403 for another reason', async () => {
    const stop = server.fault({ route: 'tree', fault: { kind: 'status', status: 403 } });
    expect(await fails('org/open')).toSatisfy(HubAccessError.isInstance);
    stop();
  });

  test('a revision, and a file, that is not there', async () => {
    const error = await fails('org/open', { revision: 'nope' });
    expect(error).toSatisfy(RevisionNotFoundError.isInstance);
    expect(error).toMatchObject({ repo: 'org/open', revision: 'nope' });
    const options = hubOptions(server, { files: ['config.json', 'absent.json'] });
    const missing = await pullModel('org/open', options).catch((thrown) => thrown);
    expect(missing).toSatisfy(RepositoryFileError.isInstance);
    expect(missing).toMatchObject({ file: 'absent.json', available: ['config.json', 'model.safetensors'] });
    await using hub = await openHub(options);
    const read = hub.readFile({ repo: 'org/open', revision: 'main', path: 'absent.json' });
    await expect(read).rejects.toSatisfy(RepositoryFileError.isInstance);
  });

  test('anything when the network is not to be used', async () => {
    expect(await fails('org/open', { offline: true })).toSatisfy(OfflineError.isInstance);
    for (const name of ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE']) {
      vi.stubEnv(name, '1');
      expect(await fails('org/open', { offline: undefined }), name).toSatisfy(OfflineError.isInstance);
      vi.stubEnv(name, '0');
    }
    expect(server.requests).toEqual([]);
    expect(await fails('org/open', { endpoint: 'not an address' })).toMatchObject({ code: 'ERR_OPTION' });
    expect(await fails('../evil')).toMatchObject({ code: 'ERR_OPTION' });
  });
});

describe('the environment', () => {
  test('names the endpoint', async () => {
    vi.stubEnv('HF_ENDPOINT', `${server.url}/`);
    await pullModel('org/open', hubOptions(server, { endpoint: undefined }));
    expect(server.requests.length).toBeGreaterThan(0);
  });

  test('names a proxy, which all goes through', async () => {
    const tunnels: string[] = [];
    const proxy = createServer();
    proxy.on('connect', ({ url, headers }: { url: string; headers: IncomingHttpHeaders }, client) => {
      tunnels.push(`${url} ${headers.authorization ?? 'none'}`);
      const [host, port] = url.split(':') as [string, string];
      const upstream = connect(Number(port), host, () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n');
        upstream.pipe(client).pipe(upstream);
      });
      upstream.on('error', () => client.destroy());
      client.on('error', () => upstream.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    vi.stubEnv('http_proxy', `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    const { dir } = await pullModel('org/open', hubOptions(server, { token: TOKEN }));
    const hosts = [server.url, server.cdnUrl].map((url) => `${new URL(url).host} none`);
    expect([...new Set(tunnels)].sort()).toEqual(hosts.sort());
    expect(dir).toContain('snapshots');
    tunnels.length = 0;
    vi.stubEnv('no_proxy', 'example.com, 127.0.0.1');
    await pullModel('org/open', hubOptions(server));
    expect(tunnels).toEqual([]);
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  });

  test.each([
    ['https://huggingface.co/x', '', 'p'],
    ['https://huggingface.co/x', '*', undefined],
    ['https://huggingface.co/x', 'huggingface.co', undefined],
    ['https://cdn.huggingface.co/x', '.huggingface.co', undefined],
    ['https://notHuggingface.co/x', 'huggingface.co', 'p'],
    ['https://huggingface.co/x', 'huggingface.co:443', undefined],
    ['https://huggingface.co:8443/x', 'huggingface.co:443', 'p'],
    ['https://[::1]:8443/x', '::1', undefined],
    ['https://10.0.0.1/x', 'a b,10.0.0.1', undefined],
  ])('%s with no_proxy=%s goes through %s', (url, exceptions, expected) => {
    expect(proxyFor(new URL(url), { http: undefined, https: 'p', exceptions })).toBe(expected);
  });
});

test('bytes of a private file are read with the token', async () => {
  await using hub = await openHub(hubOptions(server, { token: TOKEN }));
  const file = { repo: 'org/private', revision: 'main', path: 'model.safetensors' };
  const expected = (await bytesOf(FILES['model.safetensors'])).subarray(0, 64);
  expect(Buffer.from(await hub.readRange(file, 0, 64)).equals(expected)).toBe(true);
  expect(authorizations().at(-1)).toBe('cdn none');
});
