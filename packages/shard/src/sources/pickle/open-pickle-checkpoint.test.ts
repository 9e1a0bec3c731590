import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { FormatError, MissingFileError, MissingTensorError, UnsupportedCheckpointError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { noise } from '../../testing/checkpoints';
import { temporaryFolder } from '../../testing/temporary';
import { Pickler, torchZip } from '../../testing/torch-save';
import { openPickleCheckpoint } from './open-pickle-checkpoint';

const INDEX = 'pytorch_model.bin.index.json';
const SHARDS = ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin'] as const;

function shard(...names: string[]): Buffer {
  const tensors = names.map((name) => ({ name, type: 'HalfStorage', key: '0', elements: 4, shape: [4] }));
  return torchZip(new Pickler().stateDict(tensors).bytes(), { 0: noise(8, 1) });
}

/** Two shards and what the index says of them. */
async function sharded(first: string[], second: string[], weightMap: Record<string, string>): Promise<string> {
  const dir = temporaryFolder();
  await writeFile(path.join(dir, SHARDS[0]), shard(...first));
  await writeFile(path.join(dir, SHARDS[1]), shard(...second));
  await writeFile(path.join(dir, INDEX), JSON.stringify({ metadata: {}, weight_map: weightMap }));
  await writeFile(path.join(dir, 'config.json'), '{"model_type":"llama"}');
  return dir;
}

const complete = () => sharded(['a', 'b'], ['c', 'rotary'], { a: SHARDS[0], b: SHARDS[0], c: SHARDS[1] });

test('a folder, its index and a single shard open', async () => {
  const dir = await complete();
  for (const given of [dir, path.join(dir, INDEX), path.relative(process.cwd(), dir)]) {
    const checkpoint = await openPickleCheckpoint(given);
    expect(checkpoint.dir).toBe(dir);
    expect(checkpoint.files).toEqual(SHARDS.map((name) => path.join(dir, name)));
    expect(checkpoint.config).toEqual({ model_type: 'llama' });
    // `rotary` is in no index and belongs to the model all the same.
    expect([...checkpoint.tensors.keys()]).toEqual(['a', 'b', 'c', 'rotary']);
  }
  expect([...(await openPickleCheckpoint(path.join(dir, SHARDS[1]))).tensors.keys()]).toEqual(['c', 'rotary']);
});

test('a folder without configuration has none', async () => {
  const dir = temporaryFolder();
  await writeFile(path.join(dir, 'pytorch_model.bin'), shard('a'));
  expect(await openPickleCheckpoint(dir)).toMatchObject({ config: null, files: [path.join(dir, 'pytorch_model.bin')] });
});

test('a shard that is missing is named with the index that needs it', async () => {
  const dir = await complete();
  await rm(path.join(dir, SHARDS[1]));
  const error = await openPickleCheckpoint(dir).catch((reason: unknown) => reason);
  expect(MissingFileError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ file: path.join(dir, SHARDS[1]), neededBy: path.join(dir, INDEX) });
});

test('a tensor that the index promises and its shard lacks is named', async () => {
  const dir = await sharded(['a'], ['b'], { a: SHARDS[0], b: SHARDS[0], c: SHARDS[1] });
  const error = await openPickleCheckpoint(dir).catch((reason: unknown) => reason);
  expect(MissingTensorError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ tensor: 'b', file: path.join(dir, SHARDS[0]) });
});

test('a tensor in two shards is refused by name', async () => {
  const dir = await sharded(['a'], ['a'], { a: SHARDS[0], b: SHARDS[1] });
  const error = await openPickleCheckpoint(dir).catch((reason: unknown) => reason);
  expect(FormatError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ tensor: 'a', file: path.join(dir, SHARDS[1]) });
});

test('an index whose names lead out of the folder is refused', async () => {
  const dir = await sharded(['a'], ['b'], { a: '../secret.bin' });
  await expect(openPickleCheckpoint(dir)).rejects.toThrow('leads out of the folder');
});

test('folders without one model, folders in place of files, and what is not there', async () => {
  const dir = await complete();
  await rm(path.join(dir, INDEX));
  const several = await openPickleCheckpoint(dir).catch((reason: unknown) => reason);
  expect(UnsupportedCheckpointError.isInstance(several)).toBe(true);
  expect(several).toMatchObject({
    found: [...SHARDS],
    message: expect.stringContaining('but no pytorch_model.bin.index'),
  });
  await expect(openPickleCheckpoint(temporaryFolder())).rejects.toThrow('no PyTorch weights here');
  await expect(openPickleCheckpoint(path.join(dir, 'absent'))).rejects.toSatisfy(MissingFileError.isInstance);
  const odd = temporaryFolder();
  await mkdir(path.join(odd, 'pytorch_model.bin'));
  await expect(openPickleCheckpoint(odd)).rejects.toThrow('not a regular file');
});

test('an abort is heard', async () => {
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(openPickleCheckpoint(await complete(), { signal })).rejects.toThrow('enough');
});
