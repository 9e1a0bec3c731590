import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ChecksumError } from '../../hub';
import { HubServer } from '../../testing/hub-server';
import { randomGguf } from '../../testing/random-gguf';
import { temporaryFolder } from '../../testing/temporary';
import { AutoModel } from '../auto-model';
import type { FromPretrainedOptions } from '../from-pretrained-options';
import { listConverted } from './conversion-cache';

const REQUEST = { ids: [1, 5, 9], maxNewTokens: 2, ignoreEos: true };
const FILE = randomGguf();

async function served() {
  const server = await HubServer.start();
  onTestFinished(() => server.close());
  await server.addRepo('org/name', { 'name-Q8_0.gguf': FILE });
  const cacheDir = temporaryFolder();
  // As in daily life: two caches, which nobody has named.
  vi.stubEnv('HF_HUB_CACHE', join(cacheDir, 'hub'));
  vi.stubEnv('AIRLLM_CACHE', join(cacheDir, 'airllm'));
  onTestFinished(() => void vi.unstubAllEnvs());
  const options = { endpoint: server.url, token: false, offline: false, executor: 'reference' } as const;
  return { server, cacheDir, options: options satisfies FromPretrainedOptions };
}

let said: Promise<readonly number[]> | undefined;

/** What the file says when it is here. */
function expected(): Promise<readonly number[]> {
  said ??= sayHere();
  return said;
}

async function sayHere(): Promise<readonly number[]> {
  const dir = temporaryFolder();
  writeFileSync(join(dir, 'model.gguf'), FILE);
  await using model = await AutoModel.fromPretrained(join(dir, 'model.gguf'), {
    executor: 'reference',
    cacheDir: dir,
  });
  return (await model.generate(REQUEST)).ids;
}

/** The file's last bytes do not come before the function that is returned is called. */
function holdEnd(server: HubServer): () => void {
  let release = () => {};
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  const at = FILE.length - 1000;
  server.fault({ route: 'cdn', fault: { kind: 'hold', at, until }, holding: at });
  return release;
}

function layersIn(cacheDir: string): readonly string[] {
  const root = join(cacheDir, 'airllm', 'converted');
  if (!existsSync(root)) return [];
  return readdirSync(root, { recursive: true })
    .map(String)
    .filter((name) => name.endsWith('.safetensors'));
}

test('a GGUF file is converted while it comes, and the copy is used from then on', async () => {
  const { server, cacheDir, options } = await served();
  const release = holdEnd(server);
  const opening = AutoModel.fromPretrained('org/name', options);
  // All but the last ones, of which the bytes are held back, or on their way to the drive.
  await expect.poll(() => layersIn(cacheDir).length).toBeGreaterThan(5);
  expect(await listConverted()).toMatchObject([{ state: 'incomplete' }]);
  release();
  await using model = await opening;
  const { ids } = await model.generate(REQUEST);
  expect(ids).toEqual(await expected());
  expect(await listConverted()).toMatchObject([{ state: 'ready', name: expect.stringMatching(/^org--name-/) }]);
  const sent = server.bytesSent;
  let conversions = 0;
  await using again = await AutoModel.fromPretrained('org/name', { ...options, onConversion: () => conversions++ });
  expect((await again.generate(REQUEST)).ids).toEqual(ids);
  expect([conversions, server.bytesSent - sent]).toEqual([0, 0]);
});

test('what was made of damaged bytes is made anew', async () => {
  const { server, options } = await served();
  const fault = { kind: 'corrupt', at: 2_000_000 } as const;
  server.fault({ route: 'cdn', holding: 2_000_000, times: 1, fault });
  await using model = await AutoModel.fromPretrained('org/name', options);
  expect((await model.generate(REQUEST)).ids).toEqual(await expected());
});

test('damage that stays ends with its error, and an abort with its reason; the next run begins anew', async () => {
  const { server, cacheDir, options } = await served();
  const mend = server.fault({ route: 'cdn', holding: 2_000_000, fault: { kind: 'corrupt', at: 2_000_000 } });
  await expect(AutoModel.fromPretrained('org/name', options)).rejects.toSatisfy(ChecksumError.isInstance);
  mend();
  const release = holdEnd(server);
  const controller = new AbortController();
  const opening = AutoModel.fromPretrained('org/name', { ...options, signal: controller.signal });
  opening.catch(() => {});
  await expect.poll(() => layersIn(cacheDir).length).toBeGreaterThan(1);
  controller.abort(new Error('enough'));
  await expect(opening).rejects.toThrow('enough');
  release();
  const sent = server.bytesSent;
  await using model = await AutoModel.fromPretrained('org/name', options);
  expect((await model.generate(REQUEST)).ids).toEqual(await expected());
  expect(server.bytesSent - sent).toBeLessThan(FILE.length);
});

test('what may not be converted is not downloaded', async () => {
  const { server, options } = await served();
  await expect(AutoModel.fromPretrained('org/name', { ...options, convert: false })).rejects.toMatchObject({
    option: 'convert',
  });
  expect(server.bytesSent).toBeLessThan(FILE.length / 2);
});
