import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MissingFileError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../../testing/temporary';
import { findWeightFiles } from './weight-files';

async function folder(...names: string[]): Promise<string> {
  const dir = temporaryFolder();
  for (const name of names) await writeFile(path.join(dir, name), '');
  return dir;
}

test.each<[string[], string | null, object]>([
  [
    ['pytorch_model.bin', 'model.safetensors'],
    'safetensors',
    { safetensors: 'model.safetensors', pickle: 'pytorch_model.bin' },
  ],
  [['pytorch_model.bin', 'training_args.bin', 'optimizer.bin'], 'pickle', { pickle: 'pytorch_model.bin' }],
  [
    ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin', 'pytorch_model.bin.index.json'],
    'pickle',
    { pickle: 'pytorch_model.bin.index.json' },
  ],
  [['pytorch_model.fp16.bin'], 'pickle', { pickle: 'pytorch_model.fp16.bin' }],
  [['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin'], null, {}],
  [
    ['model-00001-of-00001.safetensors', 'model.safetensors.index.json', 'x.gguf'],
    'safetensors',
    { safetensors: 'model.safetensors.index.json', gguf: 'x.gguf' },
  ],
  [['llama-00001-of-00002.gguf', 'llama-00002-of-00002.gguf'], 'gguf', { gguf: 'llama-00001-of-00002.gguf' }],
  [['adapter_model.bin', 'config.json'], null, {}],
  [[], null, {}],
])('%s', async (names, preferred, entries) => {
  const dir = await folder(...names);
  const found = await findWeightFiles(dir);
  expect([found.dir, found.preferred, found.entries]).toEqual([dir, preferred, entries]);
});

test('every weight file is listed, sorted', async () => {
  const found = await findWeightFiles(await folder('b.gguf', 'a.gguf', 'pytorch_model.bin', 'm.safetensors'));
  expect(found).toMatchObject({
    gguf: ['a.gguf', 'b.gguf'],
    pickle: ['pytorch_model.bin'],
    safetensors: ['m.safetensors'],
  });
});

test('a folder that is not there', async () => {
  const dir = path.join(temporaryFolder(), 'absent');
  await expect(findWeightFiles(dir)).rejects.toSatisfy(MissingFileError.isInstance);
});
