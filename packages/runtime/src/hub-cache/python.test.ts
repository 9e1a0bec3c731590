import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AutoModel } from '../auto/auto-model';
import { pullModel } from '../hub';
import { HubServer } from '../testing/hub-server';
import { pythonWithHub, runPython } from '../testing/python';
import { randomRepo } from '../testing/random-repo';
import { temporaryFolder } from '../testing/temporary';
import { listCached } from './list-cached';
import { removeCached } from './remove-cached';

const python = pythonWithHub();
const CONFIG = {
  model_type: 'llama',
  hidden_size: 128,
  intermediate_size: 256,
  num_attention_heads: 4,
  num_hidden_layers: 4,
  vocab_size: 2048,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
};

const DOWNLOAD = `
import json
from huggingface_hub import snapshot_download
print(json.dumps(snapshot_download('org/name')))
`;
const OFFLINE = `
import json
from huggingface_hub import snapshot_download, hf_hub_download, try_to_load_from_cache
paths = [snapshot_download('org/name', local_files_only=True), hf_hub_download('org/name', 'config.json', local_files_only=True)]
print(json.dumps(paths + [try_to_load_from_cache('org/name', 'model-00001-of-00002.safetensors')]))
`;
const SCAN = `
import json
from huggingface_hub import scan_cache_dir
info = scan_cache_dir()
repos = [[repo.repo_id, repo.size_on_disk, sorted(ref for r in repo.revisions for ref in r.refs), repo.nb_files] for repo in info.repos]
print(json.dumps({'repos': repos, 'warnings': [str(w) for w in info.warnings]}))
`;

/** AIRLLM_PYTHON_TESTS=1, or the path of a Python with huggingface_hub, turns these on. */
describe.skipIf(python === undefined)('Python’s huggingface_hub, with the same Hub and cache', () => {
  async function served() {
    const server = await HubServer.start();
    onTestFinished(() => server.close());
    await server.addRepo('org/name', { ...randomRepo(CONFIG, 3_000_000), 'tokenizer_config.json': '{}' });
    const cacheDir = temporaryFolder();
    const options = { endpoint: server.url, cacheDir, token: false as const, offline: false };
    const env = { HF_ENDPOINT: server.url, HF_HUB_CACHE: cacheDir, HOME: cacheDir, HF_HUB_DISABLE_TELEMETRY: '1' };
    return { server, cacheDir, options, env };
  }

  test('takes what we have downloaded, without a byte of a file', async () => {
    const { server, options, env } = await served();
    const { dir, files } = await pullModel('org/name', options);
    const sent = server.bytesSent;
    expect(sent).toBeGreaterThan(4_000_000);
    expect(realpathSync(await runPython(python!, DOWNLOAD, env))).toBe(realpathSync(dir));
    expect(server.bytesSent).toBe(sent);
    const found = await runPython<string[]>(python!, OFFLINE, { ...env, HF_HUB_OFFLINE: '1' });
    expect(found).toEqual([dir, join(dir, 'config.json'), join(dir, 'model-00001-of-00002.safetensors')]);
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    const scan = await runPython(python!, SCAN, env);
    expect(scan).toEqual({ repos: [['org/name', bytes, ['main'], files.length]], warnings: [] });
  });

  test('has downloaded what we take, list and remove', async () => {
    const { server, options, env } = await served();
    const dir = await runPython<string>(python!, DOWNLOAD, env);
    const sent = server.bytesSent;
    const pulled = await pullModel('org/name', options);
    expect(pulled).toMatchObject({ dir, bytesReceived: 0 });
    // The index is looked into, to know what belongs to the model.
    expect(server.bytesSent - sent).toBeLessThan(5000);
    const [model] = await listCached(options);
    expect(model).toMatchObject({
      repo: 'org/name',
      partialBytes: 0,
      snapshots: [{ dir, refs: ['main'], missing: [] }],
    });
    await server.close();
    const running = await AutoModel.fromPretrained('org/name', { ...options, offline: true, executor: 'reference' });
    expect(running.info.dir).toBe(dir);
    await running.dispose();
    expect(await removeCached(model!)).toMatchObject({ whole: true });
    expect(await runPython(python!, SCAN, env)).toEqual({ repos: [], warnings: [] });
  });
});
