import { expect, onTestFinished, test } from 'vitest';
import type { Delay } from '../delay';
import { hubOptions } from '../testing/hub-options';
import { HubServer, patternContent } from '../testing/hub-server';
import { CacheLayout } from './cache/cache-layout';
import { acquireLock } from './cache/lock';
import { pullModel } from './pull-model';

async function served() {
  const server = await HubServer.start();
  onTestFinished(() => server.close());
  await server.addRepo('org/name', { 'config.json': '{}', 'model.safetensors': patternContent(3_000_000, 7) });
  const delays: Delay[] = [];
  return { server, delays, options: hubOptions(server, { onDelay: (delay) => delays.push(delay) }) };
}

test('requests that are made again are told: of which file, to whom, why, and after which pause', async () => {
  const { server, delays, options } = await served();
  server.fault({ route: 'info', times: 1, fault: { kind: 'status', status: 503 } });
  server.fault({ route: 'cdn', times: 2, fault: { kind: 'status', status: 429, headers: { 'retry-after': '0.01' } } });
  await pullModel('org/name', { ...options, connections: 1 });
  const [hub, cdn] = [server.url, server.cdnUrl].map((url) => new URL(url).host);
  expect(delays).toMatchObject([
    { type: 'retrying', file: undefined, host: hub, reason: 'the server answered 503', attempt: 1 },
    { type: 'retrying', file: 'model.safetensors', host: cdn, reason: 'too many requests', attempt: 1, waitMs: 10 },
    { type: 'retrying', file: 'model.safetensors', host: cdn, reason: 'too many requests', attempt: 2, waitMs: 10 },
  ]);
});

test('a connection that is cut is told', async () => {
  const { server, delays, options } = await served();
  server.fault({ route: 'cdn', times: 3, fault: { kind: 'cut', afterBytes: 300_000 } });
  await pullModel('org/name', { ...options, connections: 1 });
  expect(delays).toHaveLength(3);
  for (const delay of delays) expect(delay).toMatchObject({ type: 'retrying', reason: expect.stringMatching(/cut/) });
});

test('a download that somebody else is at is waited for, and told', async () => {
  const { options, delays } = await served();
  const told = new Promise<void>((resolve) => {
    (options as { onDelay?: (delay: Delay) => void }).onDelay = (delay) => {
      delays.push(delay);
      resolve();
    };
  });
  const { files, dir } = await pullModel('org/name', { ...options, cacheDir: `${options.cacheDir}-known` });
  const { etag } = files.find(({ path }) => path === 'model.safetensors')!;
  const lock = await acquireLock(new CacheLayout(options.cacheDir, 'org/name').lock(etag));
  const pulling = pullModel('org/name', options);
  await told;
  expect(delays).toMatchObject([{ type: 'waiting', for: 'download', repo: 'org/name', file: 'model.safetensors' }]);
  await lock.release();
  expect((await pulling).dir).not.toBe(dir);
});
