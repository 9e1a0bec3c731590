import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OptionError } from '@airllm/loader';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { ModelNotFoundError } from '../../errors';
import { type PullProgress, RepositoryNotFoundError } from '../../hub';
import { HubServer, patternContent } from '../../testing/hub-server';
import { resolveModel } from './resolve-model';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
let home: string;
let cache: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'airllm hub #'));
  cache = join(home, 'hub');
  const repo = join(cache, 'models--org--name');
  await mkdir(join(repo, 'snapshots', COMMIT), { recursive: true });
  await mkdir(join(repo, 'refs', 'pr'), { recursive: true });
  await writeFile(join(repo, 'refs', 'main'), `${COMMIT}\n`);
  await writeFile(join(repo, 'refs', 'pr', '1'), COMMIT);
  vi.stubEnv('HF_HUB_CACHE', undefined);
  vi.stubEnv('HUGGINGFACE_HUB_CACHE', undefined);
  vi.stubEnv('HF_HOME', home);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(home, { recursive: true, force: true });
});

test('a folder is itself', async () => {
  expect(await resolveModel(cache)).toEqual({ dir: cache });
});

test.each(['', ' ', undefined, new URL('file:///model')])('%s is no source', async (source) => {
  await expect(resolveModel(source as string)).rejects.toSatisfy(OptionError.isInstance);
});

describe('a repository id', () => {
  const found = () => ({
    dir: join(cache, 'models--org--name', 'snapshots', COMMIT),
    repo: 'org/name',
    commit: COMMIT,
  });

  test('is looked up in the cache that the environment names when called', async () => {
    expect(await resolveModel('org/name')).toEqual(found());
    vi.stubEnv('HF_HOME', join(home, 'elsewhere'));
    await expect(resolveModel('org/name')).rejects.toSatisfy(ModelNotFoundError.isInstance);
    vi.stubEnv('HF_HUB_CACHE', cache);
    expect(await resolveModel('org/name')).toEqual(found());
    vi.stubEnv('HF_HUB_CACHE', undefined);
    expect(await resolveModel('org/name', { cacheDir: cache })).toEqual(found());
  });

  test('takes a branch, a reference of a pull request or a commit', async () => {
    expect(await resolveModel('org/name@main')).toEqual(found());
    expect(await resolveModel('org/name', { revision: 'pr/1' })).toEqual(found());
    expect(await resolveModel(`org/name@${COMMIT}`)).toEqual(found());
    await expect(resolveModel('org/name@nope')).rejects.toThrow(/no revision nope/);
  });

  test('that is not there is refused, and what is there is named', async () => {
    await expect(resolveModel('org/other')).rejects.toThrow(/org\/name/);
  });

  test('cannot leave the cache', async () => {
    for (const source of ['../x', 'a/../../b', '/no/such', './missing', 'a/b/c']) {
      await expect(resolveModel(source), source).rejects.toSatisfy(ModelNotFoundError.isInstance);
    }
    for (const revision of ['../../..', '..', 'refs/../../../..', '/etc']) {
      const found = resolveModel('org/name', { revision });
      await expect(found, revision).rejects.toSatisfy(ModelNotFoundError.isInstance);
    }
  });
});

describe('a repository that is not in the cache', () => {
  const FILES = {
    'config.json': '{}',
    'tokenizer.json': '{}',
    'model.safetensors': patternContent(1_500_000, 8),
    'model-Q4_0.gguf': patternContent(1000, 9),
    'model-Q8_0.gguf': patternContent(2000, 10),
  };
  let server: HubServer;

  beforeAll(async () => {
    server = await HubServer.start();
    await server.addRepo('org/remote', FILES);
  });
  afterAll(() => server.close());
  beforeEach(() => {
    vi.stubEnv('HF_ENDPOINT', server.url);
    vi.stubEnv('HF_HUB_OFFLINE', '0');
    vi.stubEnv('no_proxy', '*');
    server.requests.length = 0;
  });

  test('is downloaded, and found there afterwards without asking the network', async () => {
    const events: PullProgress[] = [];
    const found = await resolveModel('org/remote', { onProgress: (event) => events.push(event) });
    expect(found).toMatchObject({
      repo: 'org/remote',
      dir: join(cache, 'models--org--remote', 'snapshots', found.commit!),
    });
    expect((await readdir(found.dir)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect(events.at(-1)).toMatchObject({ filesDone: 3, secondsLeft: 0 });
    const asked = server.requests.length;
    expect(await resolveModel('org/remote')).toEqual(found);
    expect(await resolveModel(`org/remote@${found.commit}`)).toEqual(found);
    expect(server.requests.length).toBe(asked);
  });

  test('is completed when a file with weights is missing', async () => {
    const { dir } = await resolveModel('org/remote');
    await rm(join(dir, 'model.safetensors'));
    await resolveModel('org/remote');
    expect((await stat(join(dir, 'model.safetensors'))).size).toBe(1_500_000);
  });

  test('gives the GGUF file that was asked for', async () => {
    const found = await resolveModel('org/remote', { quantisation: 'Q8_0' });
    expect(found.file).toBe(join(found.dir, 'model-Q8_0.gguf'));
    expect((await readdir(found.dir)).filter((name) => /safetensors|Q4/.test(name))).toEqual([]);
    await resolveModel('org/remote', { quantisation: 'Q4_0' });
    // Two are there now, and neither was named.
    await expect(resolveModel('org/remote', { weights: 'gguf' })).rejects.toSatisfy(OptionError.isInstance);
  });

  test('gives the GGUF file that its address names, and lists what there is where it has none of that name', async () => {
    const found = await resolveModel('org/remote:q8_0', { quantisation: 'Q4_0' });
    expect(found.file).toBe(join(found.dir, 'model-Q8_0.gguf'));
    const other = await resolveModel(`org/remote@${found.commit}:Q4_0`);
    expect(other.file).toBe(join(found.dir, 'model-Q4_0.gguf'));
    await expect(resolveModel('org/remote:Q5_0')).rejects.toThrow(/Q4_0 \(.*\), Q8_0 \(/);
    const asked = server.requests.length;
    expect(await resolveModel('org/remote@main:Q8_0', { offline: true })).toEqual(found);
    expect(server.requests.length).toBe(asked);
  });

  test('is not meant where a folder or file has the name', async () => {
    const path = join(home, 'org', 'remote:Q8_0');
    await mkdir(path, { recursive: true });
    expect(await resolveModel(path)).toEqual({ dir: path });
    await writeFile(join(path, 'a:b.gguf'), '');
    expect(await resolveModel(join(path, 'a:b.gguf'))).toEqual({ dir: path, file: join(path, 'a:b.gguf') });
    expect(server.requests).toEqual([]);
  });

  test('is not asked for when the network is not to be used', async () => {
    await expect(resolveModel('org/remote', { offline: true })).rejects.toSatisfy(ModelNotFoundError.isInstance);
    vi.stubEnv('HF_HUB_OFFLINE', '1');
    await expect(resolveModel('org/nane')).rejects.toThrow(/did you mean org\/name/);
    expect(server.requests).toEqual([]);
  });

  test('and not on the Hub is refused', async () => {
    await expect(resolveModel('org/nane')).rejects.toSatisfy(RepositoryNotFoundError.isInstance);
  });

  test('is taken as it is where it can be run and the Hub cannot be reached', async () => {
    const { dir } = await resolveModel('org/remote');
    await rm(join(dir, 'tokenizer.json'));
    const gone = await HubServer.start();
    await gone.close();
    vi.stubEnv('HF_ENDPOINT', gone.url);
    expect((await resolveModel('org/remote')).dir).toBe(dir);
  });
});
