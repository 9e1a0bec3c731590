import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { SourceChangedError, splitCheckpoint, verifyShards } from '@airllm/shard';
import { expect, onTestFinished, test } from 'vitest';
import { HubServer } from '../../testing/hub-server';
import { randomRepo } from '../../testing/random-repo';
import { temporaryFolder } from '../../testing/temporary';
import { shardModel } from './shard-model';

const CONFIG = {
  model_type: 'llama',
  hidden_size: 128,
  intermediate_size: 256,
  num_attention_heads: 4,
  num_hidden_layers: 6,
  vocab_size: 512,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 64,
  tie_word_embeddings: false,
};
const FILES = randomRepo(CONFIG);
const FILE = 'model.safetensors';

async function served() {
  const server = await HubServer.start();
  onTestFinished(() => server.close());
  await server.addRepo('org/name', FILES);
  const root = temporaryFolder();
  const options = { endpoint: server.url, cacheDir: join(root, 'hub'), token: false, offline: false } as const;
  return { server, options, out: join(root, 'out') };
}

/** Holds the last bytes of the weights back until told. */
function holding(server: HubServer): { release: () => void; mend: () => void } {
  let release = () => {};
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  const at = FILES[FILE]!.length - 1000;
  const mend = server.fault({ route: 'cdn', holding: at, fault: { kind: 'hold', at, until } });
  onTestFinished(() => release());
  return { release, mend };
}

const layersIn = (dir: string) =>
  existsSync(dir) ? readdirSync(dir).filter((name) => name.endsWith('.safetensors')).length : 0;

test('a repository is split while it comes, and its weights go where that is wished', async () => {
  const { server, options, out } = await served();
  const { release } = holding(server);
  const split = { deleteSource: 'after-verify' } as const;
  const sharding = shardModel('org/name', out, { ...options, split });
  sharding.catch(() => {});
  // Before the download has ended.
  await expect.poll(() => layersIn(out)).toBeGreaterThan(3);
  expect(existsSync(join(out, 'manifest.json'))).toBe(false);
  release();
  const { source, deleted, manifest } = await sharding;
  await verifyShards(out);
  expect(deleted).toHaveLength(1);
  expect(existsSync(join(source, FILE))).toBe(false);
  expect(existsSync(join(source, 'config.json'))).toBe(true);
  // As one that was made of files on the drive.
  const again = await shardModel('org/name', `${out}-2`, options);
  const whole = await splitCheckpoint(again.source, `${out}-3`);
  const sums = ({ files }: typeof manifest) => files.map(({ file, tensors }) => [file, tensors]);
  expect(sums(manifest)).toEqual(sums(whole.manifest));
});

test('one that was interrupted goes on with the download, and another target is left alone', async () => {
  const { server, options, out } = await served();
  const { release, mend } = holding(server);
  const controller = new AbortController();
  const sharding = shardModel('org/name', out, { ...options, signal: controller.signal });
  sharding.catch(() => {});
  // All but the norm and the head.
  await expect.poll(() => layersIn(out)).toBeGreaterThan(6);
  controller.abort(new Error('enough'));
  await expect(sharding).rejects.toThrow('enough');
  release();
  mend();
  const sent = server.bytesSent;
  const { source } = await shardModel('org/name', out, options);
  expect(server.bytesSent - sent).toBeLessThan(FILES[FILE]!.length / 2);
  expect(realpathSync(source)).toContain('models--org--name');
  await server.addRepo('org/other', randomRepo({ ...CONFIG, num_hidden_layers: 2 }));
  await expect(shardModel('org/other', out, options)).rejects.toSatisfy(SourceChangedError.isInstance);
  await verifyShards(out);
});
