import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cpuSeconds } from '../../../../.ci/cpu-seconds';
import { FormatError, MissingFileError, MissingTensorError, UnsupportedCheckpointError } from '../errors';
import { writeSafetensors } from '../safetensors/safetensors-writer';
import { patternBytes, temporaryFolder, writeRaw } from '../testing/folder';
import { shared, sharedAvailable } from '../testing/shared';
import { openCheckpoint } from './open-checkpoint';
import { openCheckpointIndex } from './open-checkpoint-index';

const root = temporaryFolder();
let folders = 0;
function folder(files: Record<string, string | object> = {}): string {
  const dir = join(root, `${folders++}`);
  mkdirSync(dir);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(dir, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return dir;
}

/** A shard of U8 tensors of 5 bytes each. */
async function shard(dir: string, name: string, tensors: string[]): Promise<void> {
  const data = tensors.map((each) => ({ name: each, dtype: 'U8' as const, shape: [5], data: patternBytes(5) }));
  await writeSafetensors(join(dir, name), data, { fsync: false });
}

const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );
const index = (weightMap: object | string) => ({ metadata: { total_size: 1.5e3 }, weight_map: weightMap });

describe('layouts', () => {
  test('one file, by folder or by name, with its configuration', async () => {
    const dir = folder({
      'config.json': '{"model_type":"mamba","limit":[0.0,Infinity],"note":"NaN Infinity","x":NaN}',
    });
    await shard(dir, 'model.safetensors', ['b', 'a']);
    for (const path of [dir, join(dir, 'model.safetensors')]) {
      const checkpoint = await openCheckpoint(path);
      expect(checkpoint).toMatchObject({ dir, layout: 'single', byteLength: 10 });
      expect(checkpoint.config).toEqual({ model_type: 'mamba', limit: [0, Infinity], note: 'NaN Infinity', x: null });
      expect([...checkpoint.tensors.keys()]).toEqual(['b', 'a']);
    }
  });

  test('the only safetensors file of another name', async () => {
    const dir = folder();
    await shard(dir, 'weights.safetensors', ['a']);
    expect((await openCheckpoint(dir)).config).toBe(null);
  });

  test.each([0, 1])('shards numbered from %i, with tensors the index does not name', async (base) => {
    const names = [0, 1].map((i) => `model-0000${i + base}-of-00002.safetensors`);
    const dir = folder({ 'model.safetensors.index.json': index({ a: names[0]!, b: names[1]! }) });
    await shard(dir, names[0]!, ['a', 'extra']);
    await shard(dir, names[1]!, ['b']);
    for (const path of [dir, join(dir, 'model.safetensors.index.json')]) {
      const checkpoint = await openCheckpoint(path);
      expect(checkpoint.layout).toBe('sharded');
      expect(checkpoint.files.map((file) => basename(file))).toEqual(names);
      expect([...checkpoint.tensors.keys()]).toEqual(['a', 'extra', 'b']);
    }
  });

  test('a layered folder: files in the order of the manifest, paddings hidden', async () => {
    const dir = folder();
    await shard(dir, 'layer.1.safetensors', ['c', 'd']);
    await shard(dir, 'layer.0.safetensors', ['a', 'b']);
    const entry = (file: string) => ({ file, bytes: readFileSync(join(dir, file)).length, tensors: [] });
    const manifest = { format: 'airllm-shards', formatVersion: 1, files: [entry('layer.0.safetensors')] };
    manifest.files.push(entry('layer.1.safetensors'));
    writeFileSync(join(dir, 'manifest.json'), JSON.stringify(manifest));
    const checkpoint = await openCheckpoint(dir);
    expect(checkpoint.layout).toBe('layered');
    expect([...checkpoint.tensors.keys()]).toEqual(['a', 'b', 'c', 'd']);
    const b = await checkpoint.tensors.get('b')!.materialize();
    expect(b.bytes()).toEqual(patternBytes(5));
    b.dispose();

    truncateSync(join(dir, 'layer.1.safetensors'), 4000);
    expect(FormatError.isInstance(await rejection(openCheckpoint(dir)))).toBe(true);
    manifest.files[0]!.bytes++;
    await shard(dir, 'layer.1.safetensors', ['c', 'd']);
    writeFileSync(join(dir, 'manifest.json'), JSON.stringify(manifest));
    expect(await rejection(openCheckpoint(dir))).toMatchObject({ file: join(dir, 'layer.0.safetensors') });
    rmSync(join(dir, 'layer.0.safetensors'));
    expect(MissingFileError.isInstance(await rejection(openCheckpoint(dir)))).toBe(true);
    writeFileSync(join(dir, 'manifest.json'), JSON.stringify({ ...manifest, formatVersion: 2 }));
    expect(await rejection(openCheckpoint(dir))).toMatchObject({ file: join(dir, 'manifest.json') });
  });

  test("some other program's manifest.json does not matter", async () => {
    const dir = folder({ 'manifest.json': '{"name":"a web app"}' });
    await shard(dir, 'model.safetensors', ['a']);
    expect((await openCheckpoint(dir)).layout).toBe('single');
  });
});

describe('what is missing or wrong has a name', () => {
  const one = 'model-00001-of-00002.safetensors';
  const two = 'model-00002-of-00002.safetensors';

  test('a tensor the index promises', async () => {
    const dir = folder({ 'model.safetensors.index.json': index({ a: one, b: one }) });
    await shard(dir, one, ['a']);
    const error = await rejection(openCheckpoint(dir));
    expect(MissingTensorError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ tensor: 'b', file: join(dir, one) });
  });

  test('a tensor in another file than the index says', async () => {
    const dir = folder({ 'model.safetensors.index.json': index({ a: one, b: one }) });
    await shard(dir, one, ['a']);
    await shard(dir, two, ['b']);
    expect(await rejection(openCheckpoint(dir))).toMatchObject({ code: 'ERR_MISSING_TENSOR', tensor: 'b' });
  });

  test('a shard', async () => {
    const dir = folder({ 'model.safetensors.index.json': index({ a: one, b: two }) });
    await shard(dir, one, ['a']);
    const error = await rejection(openCheckpoint(dir));
    expect(MissingFileError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ file: join(dir, two), neededBy: join(dir, 'model.safetensors.index.json') });
  });

  test('a tensor in two files', async () => {
    const dir = folder({ 'model.safetensors.index.json': index({ a: one, b: two }) });
    await shard(dir, one, ['a', 'twice']);
    await shard(dir, two, ['b', 'twice']);
    const error = await rejection(openCheckpoint(dir));
    expect(FormatError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ tensor: 'twice', file: join(dir, two) });
  });

  test.each([
    ['a name that leads out', index({ a: '../secret.safetensors' })],
    ['an absolute name', index({ a: '/etc/passwd' })],
    ['a drive letter', index({ a: 'C:\\secret.safetensors' })],
    ['a name with a line break', index({ a: 'a\nb.safetensors' })],
    ['a number for a name', index({ a: 1 })],
    ['a list for a map', index([])],
    ['a tensor named twice', '{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}'],
    ['no map', { metadata: {} }],
    ['no object', '[]'],
    ['no JSON', 'weight_map'],
    ['no UTF-8', Buffer.from([0x7b, 0xff, 0x7d]).toString('latin1')],
  ])('an index with %s', async (_, content) => {
    const dir = folder();
    const file = join(dir, 'model.safetensors.index.json');
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content), 'latin1');
    const error = await rejection(openCheckpoint(dir));
    expect(FormatError.isInstance(error), String(error)).toBe(true);
    expect((error as FormatError).file).toBe(file);
  });

  test.each([
    ['nothing', [], []],
    ['only a PyTorch file', ['pytorch_model.bin', 'training_args.bin'], ['pytorch_model.bin']],
    ['only GGUF', ['model-q4.gguf', 'README.md'], ['model-q4.gguf']],
    ['shards without an index', [one, two], [one, two]],
    ['GGUF and some safetensors', ['a.gguf', 'b.safetensors'], ['a.gguf', 'b.safetensors']],
  ])('a folder with %s', async (_, names, found) => {
    const dir = folder(Object.fromEntries(names.map((name) => [name, 'x'])));
    const error = await rejection(openCheckpoint(dir));
    expect(UnsupportedCheckpointError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ dir, found });
  });

  test('a path that is none, and a file that is no checkpoint', async () => {
    expect(await rejection(openCheckpoint(join(root, 'absent')))).toMatchObject({ code: 'ERR_MISSING_FILE' });
    const file = join(folder({ 'model.gguf': 'GGUF' }), 'model.gguf');
    expect(await rejection(openCheckpoint(file))).toMatchObject({ code: 'ERR_UNSUPPORTED_CHECKPOINT' });
  });

  test.each(['[]', '{', '"text"', 'null'])('a configuration that holds %s', async (content) => {
    const dir = folder({ 'config.json': content });
    await shard(dir, 'model.safetensors', ['a']);
    expect(await rejection(openCheckpoint(dir))).toMatchObject({ file: join(dir, 'config.json') });
  });

  test('an aborted signal', async () => {
    const reason = new Error('enough');
    expect(await rejection(openCheckpoint(root, { signal: AbortSignal.abort(reason) }))).toBe(reason);
  });
});

test('a 400 GB checkpoint opens from its headers in a moment', async () => {
  const dir = folder();
  const weightMap: Record<string, string> = {};
  // Sparse files of the real sizes: 191 shards, 2 tensors of 1 GiB in each, and many small ones.
  for (let i = 0; i < 191; i++) {
    const name = `model-${String(i + 1).padStart(5, '0')}-of-00191.safetensors`;
    const header: Record<string, object> = {};
    let end = 0;
    const add = (tensor: string, dtype: string, shape: number[], bytes: number) => {
      weightMap[tensor] = name;
      header[tensor] = { dtype, shape, data_offsets: [end, end + bytes] };
      end += bytes;
    };
    for (const part of ['gate', 'up']) add(`layers.${i}.${part}`, 'BF16', [32_768, 16_384], 2 ** 30);
    for (let j = 0; j < 150; j++) add(`layers.${i}.${j}.weight.quant_state.bitsandbytes__nf4`, 'U8', [64], 64);
    writeRaw(join(dir, name), header);
    truncateSync(join(dir, name), readFileSync(join(dir, name)).length + end);
  }
  writeFileSync(join(dir, 'model.safetensors.index.json'), JSON.stringify(index(weightMap)));
  const { result: checkpoint, seconds } = await cpuSeconds(() => openCheckpoint(dir));
  expect(checkpoint.tensors.size).toBe(191 * 152);
  expect(checkpoint.byteLength).toBeGreaterThan(400e9);
  // 0.2 on a slow core.
  expect(seconds).toBeLessThan(10);
});

describe('an index without weights', () => {
  test('names, sizes as far as they are known, and the configuration', async () => {
    const map = { a: 'here.safetensors', b: 'pointer.safetensors', c: 'absent.safetensors' };
    const dir = folder({
      'config.json': { model_type: 'llama' },
      'model.safetensors.index.json': index(map),
      'pointer.safetensors': 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4976698672\n',
      'here.safetensors': 'x'.repeat(2000),
    });
    const found = await openCheckpointIndex(dir);
    expect(found).toMatchObject({ dir, config: { model_type: 'llama' }, totalBytes: 1500 });
    expect([...found.weightMap]).toEqual(Object.entries(map));
    expect(Object.fromEntries(found.files)).toEqual({
      'here.safetensors': 2000,
      'pointer.safetensors': 4_976_698_672,
      'absent.safetensors': null,
    });
  });

  test('a folder that is none', async () => {
    expect(MissingFileError.isInstance(await rejection(openCheckpointIndex(join(root, 'absent'))))).toBe(true);
  });

  test.skipIf(!sharedAvailable)('every giant', async () => {
    for (const name of readdirSync(shared('giants'))) {
      const { config, weightMap, files } = await openCheckpointIndex(shared(`giants/${name}`));
      expect(config, name).not.toBe(null);
      expect(new Set(weightMap.values()), name).toEqual(new Set(files.keys()));
    }
  });
});

describe.skipIf(!sharedAvailable)('published checkpoints', () => {
  if (!sharedAvailable) return;
  const odd = readdirSync(shared('golden-quant')).filter((name) => name.startsWith('st-'));

  test.each(odd)('%s: every tensor, byte for byte', async (name) => {
    const dir = shared(`golden-quant/${name}`);
    const { tensors, files } = await openCheckpoint(dir);
    let count = 0;
    for (const file of files) {
      const bytes = readFileSync(file);
      const start = 8 + Number(bytes.readBigUInt64LE());
      const header = JSON.parse(bytes.subarray(8, start).toString()) as Record<
        string,
        { dtype: string; shape: number[]; data_offsets: [number, number] }
      >;
      for (const [tensorName, { dtype, shape, data_offsets }] of Object.entries(header)) {
        if (tensorName === '__metadata__') continue;
        count++;
        const meta = tensors.get(tensorName)!;
        expect([meta.dtype, meta.shape]).toEqual([dtype, shape]);
        const tensor = await meta.materialize();
        const expected = bytes.subarray(start + data_offsets[0], start + data_offsets[1]);
        expect(Buffer.compare(tensor.bytes(), expected)).toBe(0);
        tensor.dispose();
      }
    }
    expect(tensors.size).toBe(count);
  });

  test('every golden opens', async () => {
    for (const name of readdirSync(shared('golden'))) {
      const { config, tensors } = await openCheckpoint(shared(`golden/${name}`));
      expect(config, name).not.toBe(null);
      expect(tensors.size, name).toBeGreaterThan(0);
    }
  });
});
