import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { WriteError } from '@airllm/loader';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { canMount } from '../../../../.ci/mount';
import { hubOptions } from '../testing/hub-options';
import { HubServer } from '../testing/hub-server';
import { temporaryFolder } from '../testing/temporary';
import { pullModel } from './pull-model';
import { hubCache } from './settings';

const FILES = { 'config.json': '{}', 'model.safetensors': 'weights' };

async function served() {
  const server = await HubServer.start();
  onTestFinished(() => server.close());
  await server.addRepo('org/name', FILES);
  return server;
}

async function isRefused(cacheDir: string): Promise<void> {
  const server = await served();
  const error = await pullModel('org/name', hubOptions(server, { cacheDir })).catch((thrown) => thrown);
  expect(error).toSatisfy(WriteError.isInstance);
  expect(error.message).toContain('HF_HUB_CACHE');
  expect(server.bytesSent).toBe(0);
}

describe('a cache folder', () => {
  test.each<[string, (root: string) => string]>([
    ['a file', (root) => root],
    ['below a file', (root) => join(root, 'hub')],
    [
      'below a link to nothing',
      (root) => {
        symlinkSync(join(root, 'nowhere'), `${root}-link`);
        return join(`${root}-link`, 'hub');
      },
    ],
  ])('that is %s is told', async (_, place) => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    await isRefused(place(file));
  });

  test.skipIf(!existsSync('/proc/self'))('where no folder can be made is told', () => isRefused('/proc/airllm/hub'));

  // A drive that cannot be written can only be had by mounting one.
  test.skipIf(!canMount())('on a drive that cannot be written is told, and what it has is used', async () => {
    const server = await served();
    const drive = temporaryFolder();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'airllm-test', drive]);
    onTestFinished(() => void execFileSync('umount', [drive]));
    const options = hubOptions(server, { cacheDir: join(drive, 'hub') });
    const { dir } = await pullModel('org/name', options);
    execFileSync('mount', ['-o', 'remount,ro', drive]);
    expect(await pullModel('org/name', options)).toMatchObject({ dir, bytesReceived: 0 });
    await server.addRepo('org/other', FILES);
    const error = await pullModel('org/other', options).catch((thrown) => thrown);
    expect(error).toSatisfy(WriteError.isInstance);
    expect(error).toMatchObject({ errno: 'EROFS' });
  });
});

test('a cache that is a link to another drive is used as it is', async () => {
  const server = await served();
  const place = temporaryFolder();
  mkdirSync(join(place, 'elsewhere'));
  symlinkSync(join(place, 'elsewhere'), join(place, 'hub'));
  const { dir } = await pullModel('org/name', hubOptions(server, { cacheDir: join(place, 'hub') }));
  expect(existsSync(join(dir, 'model.safetensors'))).toBe(true);
  expect(existsSync(join(place, 'elsewhere', 'models--org--name'))).toBe(true);
});

describe('the cache that the environment names', () => {
  beforeEach(() => {
    for (const name of ['HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE', 'HF_HOME', 'XDG_CACHE_HOME'])
      vi.stubEnv(name, undefined);
  });
  afterEach(() => vi.unstubAllEnvs());

  test.each([
    [{}, join(homedir(), '.cache/huggingface/hub')],
    [{ HF_HUB_CACHE: '', HF_HOME: '' }, join(homedir(), '.cache/huggingface/hub')],
    [{ HF_HOME: '~/models' }, join(homedir(), 'models/hub')],
    [{ HF_HOME: '~' }, join(homedir(), 'hub')],
    [{ HF_HOME: '~other/models' }, '~other/models/hub'],
    [{ HF_HUB_CACHE: '~/hub', HF_HOME: '/ignored' }, join(homedir(), 'hub')],
    [{ AIRLLM_TEST_DRIVE: '/mnt', HF_HOME: '$AIRLLM_TEST_DRIVE/$AIRLLM_TEST_NONE/x' }, '/mnt/$AIRLLM_TEST_NONE/x/hub'],
    [{ AIRLLM_TEST_DRIVE: '/mnt', HF_HUB_CACHE: `\${AIRLLM_TEST_DRIVE}/hub` }, '/mnt/hub'],
    [{ XDG_CACHE_HOME: '/xdg' }, '/xdg/huggingface/hub'],
  ])('by %o is %s', (environment: Record<string, string>, expected) => {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
    expect(hubCache()).toBe(expected);
  });
});
