import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { bytesOf, hubOptions } from '../testing/hub-options';
import { type Fault, HubServer, patternContent } from '../testing/hub-server';
import { ChecksumError, FileChangedError, HubError, HubUnavailableError, RateLimitError } from './errors';
import { beginPull } from './pull-model';
import { openHub } from './repo/client';
import type { PullOptions } from './types';

const MIB = 2 ** 20;
const WEIGHTS = 'model.safetensors';
const weights = patternContent(6 * MIB + 333, 11);
const FILES = { 'config.json': JSON.stringify({ model_type: 'llama', padding: 'y'.repeat(5000) }), [WEIGHTS]: weights };
const SIZE = weights.size;

let server: HubServer;
beforeAll(async () => {
  // A proxy of the machine has no business here.
  vi.stubEnv('no_proxy', '*');
  server = await HubServer.start();
  await server.addRepo('org/name', FILES);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
});
afterEach(() => {
  server.faults.clear();
  server.requests.length = 0;
});

async function pull(more: Partial<PullOptions> = {}, repo = 'org/name') {
  const running = await beginPull(repo, hubOptions(server, more), { partBytes: MIB });
  return running.done;
}

async function expectWhole(dir: string) {
  expect(readFileSync(join(dir, WEIGHTS)).equals(await bytesOf(weights))).toBe(true);
  expect(readFileSync(join(dir, 'config.json'), 'utf8')).toBe(FILES['config.json']);
}

const cdn = (fault: Fault, more = {}) => server.fault({ route: 'cdn', fault, times: 3, ...more });

describe('a download survives', () => {
  test.each<[string, Fault]>([
    ['connections cut in the middle', { kind: 'cut', afterBytes: 300_000 }],
    ['connections cut before an answer', { kind: 'cut', afterBytes: -1 }],
    ['bodies that end early', { kind: 'truncate', afterBytes: 300_000 }],
    ['connections that stall', { kind: 'stall', afterBytes: 300_000 }],
    ['a length that is too large', { kind: 'wrong-length', by: 1000 }],
    ['a length that is too small', { kind: 'wrong-length', by: -1000 }],
    ['bytes of another range', { kind: 'wrong-range', by: 4096 }],
    ['500', { kind: 'status', status: 500 }],
    ['503 with a time to wait', { kind: 'status', status: 503, headers: { 'retry-after': '0.1' } }],
    ['signatures that expired', { kind: 'status', status: 403 }],
    ['answers that do not say of which range they are', { kind: 'drop-headers', names: ['content-range'] }],
  ])('%s', async (_, fault) => {
    cdn(fault);
    const { dir, bytesReceived } = await pull(fault.kind === 'stall' ? { stallTimeoutMs: 1000 } : {});
    await expectWhole(dir);
    // What came before a cut is kept: nothing but an answer that is useless as a whole comes again.
    expect(bytesReceived).toBeLessThan(SIZE + FILES['config.json'].length + 3 * MIB);
  });

  test('429, and waits as long as it is told', async () => {
    server.fault({
      route: 'resolve',
      times: 1,
      fault: { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
    });
    const started = performance.now();
    await expectWhole((await pull()).dir);
    expect(performance.now() - started).toBeGreaterThan(950);
  });

  test('a cut connection without asking for a byte twice', async () => {
    cdn({ kind: 'cut', afterBytes: 500_000 }, { times: 4 });
    const { bytesReceived } = await pull({ connections: 2 });
    expect(bytesReceived).toBe(SIZE + FILES['config.json'].length);
  });

  test('a server that knows no ranges', async () => {
    cdn({ kind: 'no-range' }, { times: Infinity });
    await expectWhole((await pull()).dir);
    server.fault({ route: 'cdn', after: 0, times: 1, fault: { kind: 'cut', afterBytes: 2 * MIB } });
    await expectWhole((await pull({ connections: 1 })).dir);
  });

  test('small files that come compressed', async () => {
    server.fault({ route: 'resolve', path: 'config.json', fault: { kind: 'gzip' } });
    await expectWhole((await pull()).dir);
  });

  test('one byte that was bent on its way', async () => {
    cdn({ kind: 'corrupt', at: 3 * MIB + 7 }, { holding: 3 * MIB + 7, times: 1 });
    const discarded: string[] = [];
    await expectWhole((await pull({ onDiscarded: ({ path }) => discarded.push(path) })).dir);
    expect(discarded).toEqual([WEIGHTS]);
  });

  test('a file that changes below its commit: it starts again with the new one', async () => {
    await server.addRepo('org/changing', FILES);
    const other = patternContent(5 * MIB, 12);
    server.fault({ route: 'cdn', after: 2, times: 1, fault: { kind: 'change', content: other } });
    const { dir, files } = await pull({}, 'org/changing');
    expect(readFileSync(join(dir, WEIGHTS)).equals(await bytesOf(other))).toBe(true);
    expect(files.find(({ path }) => path === WEIGHTS)?.size).toBe(5 * MIB);
  });

  test('a file of the same length that changes while one connection reads it', async () => {
    await server.addRepo('org/swapping', FILES);
    const other = patternContent(SIZE, 13);
    server.fault({ route: 'cdn', after: 3, times: 1, fault: { kind: 'change', content: other } });
    const { dir } = await pull({ connections: 1 }, 'org/swapping');
    expect(readFileSync(join(dir, WEIGHTS)).equals(await bytesOf(other))).toBe(true);
  });
});

describe('a download ends with', () => {
  const blobs = (cacheDir: string) => readdirSync(join(cacheDir, 'models--org--name', 'blobs'));

  test.each([0, MIB - 1, 3 * MIB, SIZE - 1])('ChecksumError for a byte that is always wrong, at %d', async (at) => {
    const options = hubOptions(server);
    cdn({ kind: 'corrupt', at }, { times: Infinity });
    const error = await pull(options).catch((thrown) => thrown);
    expect(error).toSatisfy(ChecksumError.isInstance);
    expect(error).toMatchObject({ repo: 'org/name', file: WEIGHTS, algorithm: 'sha256' });
    expect(error.found).not.toBe(error.expected);
    expect(blobs(options.cacheDir)).toHaveLength(1);
    expect(existsSync(join(options.cacheDir, 'models--org--name', 'refs'))).toBe(false);
  });

  test('ChecksumError for a small file, by git’s own hash', async () => {
    server.fault({ path: 'config.json', fault: { kind: 'corrupt', at: 100 } });
    const error = await pull().catch((thrown) => thrown);
    expect(error).toSatisfy(ChecksumError.isInstance);
    expect(error).toMatchObject({ file: 'config.json', algorithm: 'git-sha1' });
  });

  test('FileChangedError if it changes every time', async () => {
    await server.addRepo('org/restless', FILES);
    for (let version = 1; version <= 20; version++) {
      const fault = { kind: 'change', content: patternContent(SIZE + version, version) } as const;
      server.fault({ route: 'cdn', after: 2 * version, times: 1, fault });
    }
    const error = await pull({ connections: 1 }, 'org/restless').catch((thrown) => thrown);
    expect(error).toSatisfy(FileChangedError.isInstance);
    expect(error).toMatchObject({ repo: 'org/restless', file: WEIGHTS });
  });

  test.each<[string, Fault]>([
    ['the server always fails', { kind: 'status', status: 502 }],
    ['connections are always cut', { kind: 'cut', afterBytes: 0 }],
    ['connections always stall', { kind: 'stall', afterBytes: 0 }],
    ['the range is always another', { kind: 'wrong-range', by: 1 }],
  ])('HubUnavailableError when %s; what has come is kept', async (_, fault) => {
    // One at a time: three parts have come when the fourth fails.
    const patience = { connections: 1, retry: { attempts: 2, baseMs: 1 } };
    const options = hubOptions(server, { ...patience, ...(fault.kind === 'stall' && { stallTimeoutMs: 1000 }) });
    const stop = cdn(fault, { after: 3, times: Infinity });
    const error = await pull(options).catch((thrown) => thrown);
    expect(error).toSatisfy(HubUnavailableError.isInstance);
    expect(error.url).toContain('/org/name/');
    expect(error.message).not.toContain('Signature');
    stop();
    const { dir, bytesReceived } = await pull(options);
    expect(bytesReceived).toBeLessThanOrEqual(SIZE - 3 * MIB);
    await expectWhole(dir);
  });

  test('RateLimitError when the wait is too long to sit through', async () => {
    const headers = { 'retry-after': '3600' };
    server.fault({ route: 'tree', fault: { kind: 'status', status: 429, headers } });
    const error = await pull().catch((thrown) => thrown);
    expect(error).toSatisfy(RateLimitError.isInstance);
    expect(error).toMatchObject({ status: 429, retryAfterMs: 3_600_000 });
  });

  test('HubUnavailableError where nobody listens', async () => {
    const gone = await HubServer.start();
    await gone.close();
    const error = await pull({ endpoint: gone.url, retry: { attempts: 2, baseMs: 1 } }).catch((thrown) => thrown);
    expect(error).toSatisfy(HubUnavailableError.isInstance);
    expect(error.message).toMatch(/refused/);
  });
});

describe('reading a range', () => {
  const file = { repo: 'org/name', revision: 'main', path: WEIGHTS };
  const expected = async (from: number, to: number) => (await bytesOf(weights)).subarray(from, to);

  test.each<[string, Fault | null]>([
    ['as asked', null],
    ['of a server that knows none', { kind: 'no-range' }],
    ['that was cut once', { kind: 'cut', afterBytes: 10 }],
    ['that was another first', { kind: 'wrong-range', by: 9 }],
  ])('gives its bytes: %s', async (_, fault) => {
    await using hub = await openHub(hubOptions(server));
    if (fault) server.fault({ route: 'cdn', fault, times: fault.kind === 'no-range' ? 9 : 1 });
    const bytes = await hub.readRange(file, 1000, 300_000);
    expect(Buffer.from(bytes).equals(await expected(1000, 300_000))).toBe(true);
  });

  test('asks for no more than that', async () => {
    await using hub = await openHub(hubOptions(server));
    await hub.readRange(file, 8, 100_008);
    expect(server.bytesSent).toBe(100_000);
    expect((await hub.readRange(file, SIZE - 10, SIZE + 10)).length).toBe(10);
    expect((await hub.readRange(file, 5, 5)).length).toBe(0);
    await expect(hub.readRange(file, SIZE + 1, SIZE + 9)).rejects.toSatisfy(HubError.isInstance);
    await expect(hub.readRange(file, 9, 5)).rejects.toThrow(/range/);
  });

  test('is ended by a signal', async () => {
    await using hub = await openHub(hubOptions(server));
    server.fault({ route: 'cdn', fault: { kind: 'stall', afterBytes: 5 } });
    const reason = new Error('no longer wanted');
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 100);
    await expect(hub.readRange(file, 0, 1000, { signal: controller.signal })).rejects.toBe(reason);
  });
});
