import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ModelNotFoundError } from '../errors';
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
