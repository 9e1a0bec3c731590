import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { HubServer, type RepoOptions } from '../../../../.ci/hub-server';
import { temporaryFolder } from './temporary';

/** A Hub on loopback that the environment names, with the files of a folder as `org/name`; and an empty cache. */
export async function serveModel(dir: string, options: RepoOptions = {}) {
  const server = await HubServer.start();
  const files = readdirSync(dir).map((name) => [name, new Uint8Array(readFileSync(path.join(dir, name)))] as const);
  const repo = await server.addRepo('org/name', Object.fromEntries(files), options);
  const cacheDir = temporaryFolder();
  const env = { HF_ENDPOINT: server.url, HF_HUB_OFFLINE: '', TRANSFORMERS_OFFLINE: '', HF_HUB_CACHE: cacheDir };
  for (const [name, value] of Object.entries({ ...env, HF_TOKEN: '', HF_TOKEN_PATH: path.join(cacheDir, 'none') })) {
    vi.stubEnv(name, value);
  }
  vi.stubEnv('AIRLLM_CACHE', path.join(cacheDir, 'airllm'));
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await server.close();
  });
  return { server, repo, cacheDir };
}
