import { readdirSync, readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { openSource } from '@airllm/shard';
import { describe, expect, onTestFinished, test } from 'vitest';
import { GatedRepositoryError, RepositoryNotFoundError } from '../hub';
import { buildModel } from '../models/registry';
import { giantRepo } from '../testing/giant-repo';
import { HubServer } from '../testing/hub-server';
import { haveShared, shared } from '../testing/shared';
import { temporaryFolder } from '../testing/temporary';
import { consumptionOrder } from './consumption-order';
import { openRemoteModel } from './remote-model';

async function served() {
  const server = await HubServer.start();
  onTestFinished(() => server.close());
  const cacheDir = temporaryFolder();
  return { server, cacheDir, options: { endpoint: server.url, cacheDir, token: false as const, offline: false } };
}

const LLAMA = {
  model_type: 'llama',
  hidden_size: 4096,
  intermediate_size: 14336,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  num_hidden_layers: 32,
  vocab_size: 128256,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 8192,
  rope_theta: 500000,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
};

describe.skipIf(!haveShared)('a model of 405B parameters', () => {
  test('is described for less than a megabyte', async () => {
    const { server, options } = await served();
    const config = JSON.parse(readFileSync(shared('giants/Llama-3.1-405B/config.json'), 'utf8'));
    await server.addRepo('meta/giant', giantRepo(config));
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on('warning', warn);
    onTestFinished(() => void process.off('warning', warn));
    const { signal } = new AbortController();
    const remote = await openRemoteModel('meta/giant', { ...options, signal });
    onTestFinished(() => remote.close());
    const { tensors } = await openSource(remote.dir, { absent: remote.absent, signal });
    expect(warnings).toEqual([]);
    const model = buildModel(config, { tensors: tensors as never });
    expect(model.parameterCount).toBeGreaterThan(405e9);
    expect(remote.files.length).toBeGreaterThan(150);
    expect(remote.bytesToDownload).toBeGreaterThan(810e9);
    const received = server.requests.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(received).toBeGreaterThan(50_000);
    expect(received).toBeLessThan(1_000_000);
  });
});

describe.skipIf(!haveShared)('GGUF files', () => {
  test.each([
    ['gguf-q4_k', '', {}],
    ['gguf-split-q8_0', 'Q8_0/', { quantisation: 'Q8_0' }],
  ])('of %s are described by their headers, wherever they lie', async (name, folder, asked) => {
    const { server, options } = await served();
    const parts = readdirSync(shared(`golden-quant/${name}`)).filter((file) => file.endsWith('.gguf'));
    const bytes = (file: string) => new Uint8Array(readFileSync(shared(`golden-quant/${name}/${file}`)));
    // Nothing but GGUF files: not even a folder is here then.
    await server.addRepo('org/name', Object.fromEntries(parts.map((file) => [folder + file, bytes(file)])));
    const remote = await openRemoteModel('org/name', { ...options, ...asked });
    onTestFinished(() => remote.close());
    const source = await openSource(remote.path, { absent: remote.absent });
    const here = await openSource(shared(`golden-quant/${name}/${parts[0]}`));
    expect(source.config).toEqual(here.config);
    expect([...source.tensors.keys()]).toEqual([...here.tensors.keys()]);
    expect(remote.bytesRead).toBeLessThanOrEqual(parts.length * 262_144);
    expect(remote.bytesRead).toBe(server.bytesSent);
  });
});

test('what was fetched for a look is in the cache, and the branch is not said to be', async () => {
  const { server, options } = await served();
  await server.addRepo('org/name', giantRepo(LLAMA));
  const remote = await openRemoteModel('org/name', options);
  onTestFinished(() => remote.close());
  expect((await readdir(remote.dir)).sort()).toEqual(['config.json', 'model.safetensors.index.json']);
  expect(await readdir(`${options.cacheDir}/models--org--name`)).not.toContain('refs');
  expect([...remote.absent.sizes.keys()]).toEqual(
    remote.files.map(({ path }) => path).filter((path) => path.endsWith('s')),
  );
});

test('files are wanted in the order of the pass, which is not that of their names', async () => {
  const { server, options } = await served();
  await server.addRepo('org/name', giantRepo({ ...LLAMA, num_hidden_layers: 16 }));
  const remote = await openRemoteModel('org/name', options);
  onTestFinished(() => remote.close());
  const { tensors } = await openSource(remote.dir, { absent: remote.absent });
  const model = buildModel({ ...LLAMA, num_hidden_layers: 16 }, { tensors: tensors as never });
  const order = [...new Set(consumptionOrder(model).map(({ file }) => file))];
  const first = [...tensors.values()].find(({ name }) => name === 'model.embed_tokens.weight') as {
    extent?: { file: string };
  };
  const last = [...tensors.values()].find(({ name }) => name === 'lm_head.weight') as { extent?: { file: string } };
  expect(order[0]).toBe(first.extent!.file);
  expect(order.at(-1)).toBe(last.extent!.file);
  expect(order).toHaveLength(remote.absent.sizes.size);
});

test('what is missing or forbidden is told as by a download', async () => {
  const { server, options } = await served();
  await expect(openRemoteModel('org/none', options)).rejects.toSatisfy(RepositoryNotFoundError.isInstance);
  await server.addRepo('org/gated', { 'config.json': '{}', 'model.safetensors': 'x' }, { gated: 'manual' });
  await expect(openRemoteModel('org/gated', options)).rejects.toSatisfy(GatedRepositoryError.isInstance);
  await server.addRepo('org/bare', { 'model.safetensors': 'x', 'README.md': '' });
  await expect(openRemoteModel('org/bare', options)).rejects.toMatchObject({
    code: 'ERR_HUB_FILE',
    file: 'config.json',
    available: ['model.safetensors', 'README.md'],
  });
  await expect(openRemoteModel('org/name', { ...options, offline: true })).rejects.toMatchObject({
    code: 'ERR_HUB_OFFLINE',
  });
});
