import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ChecksumError, HubUnavailableError } from '../hub';
import { StaleWeightsError } from '../remote/errors';
import { HubServer } from '../testing/hub-server';
import { randomRepo } from '../testing/random-repo';
import { temporaryFolder } from '../testing/temporary';
import { AutoModel } from './auto-model';
import type { FromPretrainedOptions } from './from-pretrained-options';

const CONFIG = {
  model_type: 'llama',
  hidden_size: 128,
  intermediate_size: 512,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  num_hidden_layers: 8,
  vocab_size: 4096,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 64,
  rope_theta: 10000,
  tie_word_embeddings: false,
};
const REQUEST = { ids: [1, 5, 9], maxNewTokens: 4, ignoreEos: true };
const SHARDED = randomRepo(CONFIG, 3_000_000);
const SINGLE = randomRepo(CONFIG);
const MIDDLE = 'model-00003-of-00005.safetensors';

async function served(files = SHARDED) {
  const server = await HubServer.start();
  onTestFinished(() => server.close());
  await server.addRepo('org/name', files);
  const options: FromPretrainedOptions = {
    ...{ endpoint: server.url, cacheDir: temporaryFolder(), token: false, offline: false },
    executor: 'reference',
    reader: 'plain',
  };
  return { server, options };
}

/** What the same files say when they are in a folder. */
async function expected(files: Record<string, Uint8Array | string>): Promise<readonly number[]> {
  const dir = join(temporaryFolder(), 'model');
  await mkdir(dir);
  for (const [name, content] of Object.entries(files)) await writeFile(join(dir, name), content);
  await using model = await AutoModel.fromPretrained(dir, { executor: 'reference' });
  return (await model.generate(REQUEST)).ids;
}

/** What is behind this byte of a file does not come before the function that is returned is called. */
function hold(server: HubServer, path: string, at: number): () => void {
  let release = () => {};
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  server.fault({ route: 'cdn', path, fault: { kind: 'hold', at, until } });
  return release;
}

test.each([
  ['shards', SHARDED, 'model-00005-of-00005.safetensors'],
  ['one file', SINGLE, 'model.safetensors'],
])(
  'weights in %s are read while they come; the first token needs little after the last byte',
  async (_, files, last) => {
    const { server, options } = await served(files);
    const release = hold(server, last, files[last]!.length - 1000);
    const model = await AutoModel.fromPretrained('org/name', options);
    onTestFinished(() => model.dispose());
    const { plan } = model.info;
    const running = model.generate(REQUEST);
    await expect
      .poll(() => model.engine.stats.bytesRead)
      .toBeGreaterThan(0.8 * plan.bytes.weights)
      .finally(release);
    const { ids, stats } = await running;
    expect(ids).toEqual(await expected(files));
    // All weights stay in memory: nothing was read twice.
    expect(stats.bytesRead).toBeLessThan(1.02 * plan.bytes.weights);
    expect(existsSync(join(options.cacheDir!, 'models--org--name', 'refs', 'main'))).toBe(true);
    const before = server.bytesSent;
    await using again = await AutoModel.fromPretrained('org/name', { ...options, offline: true });
    expect((await again.generate(REQUEST)).ids).toEqual(ids);
    expect(server.bytesSent).toBe(before);
  },
);

test('shards come in the order of the pass', async () => {
  const { server, options } = await served();
  await using model = await AutoModel.fromPretrained('org/name', options);
  await model.generate(REQUEST);
  const bodies = server.requests.filter(({ route, bytes }) => route === 'cdn' && bytes > 100_000);
  const order = [...new Set(bodies.map(({ path }) => path))];
  expect(order).toHaveLength(5);
  // Two of them come at a time.
  for (const [i, path] of order.entries()) expect(Math.abs(i - [...order].sort().indexOf(path))).toBeLessThan(2);
});

test('damage that stays ends the run with its error, and no token', async () => {
  const { server, options } = await served();
  server.fault({ route: 'cdn', path: 'model-00002-of-00005.safetensors', fault: { kind: 'corrupt', at: 2_000_000 } });
  await using model = await AutoModel.fromPretrained('org/name', options);
  const error = await model.generate(REQUEST).catch((reason: unknown) => reason);
  if (!StaleWeightsError.isInstance(error)) expect(error).toSatisfy(ChecksumError.isInstance);
  await expect(model.generate(REQUEST)).rejects.toMatchObject({ code: expect.stringMatching(/CHECKSUM|STALE/) });
});

test('damage that passes is never computed with', async () => {
  const { server, options } = await served();
  const fault = { kind: 'corrupt', at: 2_000_000 } as const;
  server.fault({ route: 'cdn', path: 'model-00002-of-00005.safetensors', holding: 2_000_000, times: 1, fault });
  const right = await expected(SHARDED);
  await using model = await AutoModel.fromPretrained('org/name', options);
  const outcome = await model.generate(REQUEST).then(
    ({ ids }) => ids,
    (error: unknown) => error,
  );
  if (!StaleWeightsError.isInstance(outcome)) expect(outcome).toEqual(right);
  await using again = await AutoModel.fromPretrained('org/name', options);
  expect((await again.generate(REQUEST)).ids).toEqual(right);
});

test('a model that is disposed while it comes leaves what came, and the next one goes on with it', async () => {
  const { server, options } = await served();
  const release = hold(server, MIDDLE, 1_000_000);
  const model = await AutoModel.fromPretrained('org/name', options);
  const running = model.generate(REQUEST).catch((error: unknown) => error);
  await expect.poll(() => model.engine.stats.bytesRead).toBeGreaterThan(2_000_000);
  await model.dispose();
  expect(await running).toMatchObject({ code: 'ERR_DISPOSED' });
  release();
  const sent = server.bytesSent;
  await using again = await AutoModel.fromPretrained('org/name', options);
  expect((await again.generate(REQUEST)).ids).toEqual(await expected(SHARDED));
  const total = Object.values(SHARDED).reduce((sum, { length }) => sum + length, 0);
  expect(server.bytesSent - sent).toBeLessThan(total - 1_000_000);
});

test('an abort is heard while weights are waited for', async () => {
  const { server, options } = await served();
  const release = hold(server, MIDDLE, 1_000_000);
  await using model = await AutoModel.fromPretrained('org/name', options);
  const controller = new AbortController();
  const running = model.generate({ ...REQUEST, signal: controller.signal });
  running.catch(() => {});
  await expect.poll(() => model.engine.stats.bytesRead).toBeGreaterThan(2_000_000);
  controller.abort(new Error('enough'));
  await expect(running).rejects.toThrow('enough');
  expect(model.engine.stats.bytesRead).toBeLessThan(model.info.plan.bytes.weights);
  release();
});

test('a network that goes away is told by the call that waits', async () => {
  const { server, options } = await served();
  server.fault({ route: 'cdn', path: /00003/, fault: { kind: 'status', status: 503 }, after: 1 });
  const retry = { attempts: 2, baseMs: 1 };
  await using model = await AutoModel.fromPretrained('org/name', { ...options, retry });
  await expect(model.generate(REQUEST)).rejects.toSatisfy(HubUnavailableError.isInstance);
});
