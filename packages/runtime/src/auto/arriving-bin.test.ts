import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { storedTensors } from '../models/model';
import { buildModel } from '../models/registry';
import { StaleWeightsError } from '../remote/errors';
import { HubServer } from '../testing/hub-server';
import { haveShared, shared } from '../testing/shared';
import { temporaryFolder } from '../testing/temporary';
import { torchZip } from '../testing/torch-zip';
import { AutoModel } from './auto-model';

const REQUEST = { ids: [1, 5, 9], maxNewTokens: 2, ignoreEos: true };
const FILE = 'pytorch_model.bin';
const CONFIG = {
  model_type: 'llama',
  hidden_size: 128,
  intermediate_size: 256,
  num_attention_heads: 4,
  num_hidden_layers: 4,
  vocab_size: 512,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 64,
  tie_word_embeddings: false,
};

/** A small model with random weights, as `torch.save` writes it. */
function randomBin(): Record<string, Uint8Array> {
  let seed = 1;
  const tensors = storedTensors(buildModel(CONFIG, { dtype: 'F32' })).map(({ name, shape, byteLength }) => {
    const values = Float32Array.from({ length: byteLength / 4 }, () => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return (seed / 2 ** 32 - 0.5) / 8;
    });
    return { name, shape, bytes: new Uint8Array(values.buffer) };
  });
  return { 'config.json': Buffer.from(JSON.stringify(CONFIG)), [FILE]: torchZip(tensors) };
}

async function served(files: Record<string, Uint8Array>) {
  const server = await HubServer.start();
  onTestFinished(() => server.close());
  await server.addRepo('org/name', files);
  const own = { endpoint: server.url, cacheDir: temporaryFolder(), token: false, offline: false } as const;
  return { server, options: { ...own, executor: 'reference', reader: 'plain' } as const };
}

/** What the same files say when they are in a folder. */
async function expected(files: Record<string, Uint8Array>): Promise<readonly number[]> {
  const dir = temporaryFolder();
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(dir, name), bytes);
  await using model = await AutoModel.fromPretrained(dir, { executor: 'reference', cacheDir: dir });
  return (await model.generate(REQUEST)).ids;
}

test('weights in a PyTorch file are read while they come', async () => {
  const files = randomBin();
  const { server, options } = await served(files);
  let release = () => {};
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  const at = files[FILE]!.length - 100_000;
  // In the middle: what describes the weights is at the ends.
  server.fault({ route: 'cdn', holding: 1_500_000, fault: { kind: 'hold', at, until } });
  await using model = await AutoModel.fromPretrained('org/name', options);
  const running = model.generate(REQUEST);
  running.catch(() => {});
  const { weights } = model.info.plan.bytes;
  await expect
    .poll(() => model.engine.stats.bytesRead)
    .toBeGreaterThan(0.5 * weights)
    .finally(release);
  expect((await running).ids).toEqual(await expected(files));
  // The directory at the end, the pickle at the start, and the weights once.
  expect(server.bytesSent).toBeLessThan(files[FILE]!.length + 600_000);
});

test('an archive that is not laid out as it seemed gives no token, and runs when it is here', async () => {
  const files = randomBin();
  const archive = Buffer.from(files[FILE]!);
  // Another length of one local header, of which the directory knows nothing.
  const name = 'archive/data/9';
  const header = archive.indexOf(name) - 30;
  const field = archive.readUInt16LE(header + 28);
  const moved = field >= ALIGNMENT_ROOM ? field - 4 : field + 4;
  archive.writeUInt16LE(moved, header + 28);
  const { options } = await served({ ...files, [FILE]: archive });
  await using model = await AutoModel.fromPretrained('org/name', options);
  await expect(model.generate(REQUEST)).rejects.toSatisfy(StaleWeightsError.isInstance);
  await using again = await AutoModel.fromPretrained('org/name', options);
  expect((await again.generate(REQUEST)).ids).toEqual(await expected({ ...files, [FILE]: archive }));
});

/** A local header whose padding can lose four bytes. */
const ALIGNMENT_ROOM = 8;

describe.skipIf(!haveShared)('what PyTorch wrote', () => {
  test.each(['bin-single', 'bin-sharded', 'bin-legacy'])('%s runs as it comes', async (name) => {
    const dir = shared(`golden-quant/${name}`);
    const names = readdirSync(dir).filter((file) => /^config\.json$|\.bin/.test(file));
    const files = Object.fromEntries(names.map((file) => [file, new Uint8Array(readFileSync(join(dir, file)))]));
    const { options } = await served(files);
    await using model = await AutoModel.fromPretrained('org/name', options);
    expect((await model.generate(REQUEST)).ids).toEqual(await expected(files));
  });
});
