import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openCheckpoint, UnsupportedCheckpointError, writeSafetensors } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { writeCheckpoint } from '../testing/checkpoints';
import { decodeSourceTensor } from '../testing/decode-source-tensor';
import { sharedFolder } from '../testing/shared';
import { temporaryFolder } from '../testing/temporary';
import { CODECS } from './codecs/registry';
import { openSource } from './open-source';
import { isConversion } from './source';

test('a plain checkpoint is what openCheckpoint says it is', async () => {
  const dir = await writeCheckpoint(temporaryFolder(), { shards: 2 });
  const source = await openSource(dir);
  const checkpoint = await openCheckpoint(dir);
  expect(source).toMatchObject({ kind: 'safetensors', dir, quantisation: null, config: checkpoint.config });
  expect(source.files).toEqual(checkpoint.files);
  expect([...source.tensors]).toEqual([...checkpoint.tensors]);
});

test('quantisation keys leave the configuration, also that of the language model within', async () => {
  const dir = await writeCheckpoint(temporaryFolder());
  const config = { a: 1, quantization: {}, compression_config: {}, text_config: { b: 2, quantization_config: {} } };
  await writeFile(path.join(dir, 'config.json'), JSON.stringify(config));
  expect((await openSource(dir)).config).toEqual({ a: 1, text_config: { b: 2 } });
});

test('an unknown method is refused by its name where a tensor is not plain floats', async () => {
  const dir = await writeCheckpoint(temporaryFolder());
  await writeFile(path.join(dir, 'config.json'), '{"quantization_config":{"quant_method":"quip"}}');
  await openSource(dir);
  const codes = { name: 'model.layers.0.codes', dtype: 'I16', shape: [2, 2], data: new Uint8Array(8) } as const;
  await writeSafetensors(path.join(dir, 'model.safetensors'), [codes]);
  const failure = await openSource(dir).catch((e) => e);
  expect(UnsupportedCheckpointError.isInstance(failure) && failure.message).toMatch(/quip.*model\.layers\.0\.codes/);
});

test('aborted before it begins, it rejects with the reason', async () => {
  const reason = new Error('no');
  await expect(openSource('nowhere', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

const golden = sharedFolder('golden-quant');

describe.skipIf(golden === undefined)('pickles', () => {
  test.each(['bin-single', 'bin-sharded', 'bin-legacy'])(
    '%s has the tensors of its model, views gathered',
    async (name) => {
      const source = await openSource(path.join(golden!, name));
      expect(source.kind).toBe('pickle');
      expect(source.tensors.size).toBeGreaterThan(5);
      for (const tensor of source.tensors.values()) {
        if (isConversion(tensor)) expect(tensor.codec).toBe('strided');
      }
      const expected = await openCheckpoint(path.join(golden!, name, 'expected.safetensors'));
      const modules = [...expected.tensors.values()].filter((tensor) => tensor.name.startsWith('dequant/'));
      expect(modules.length).toBeGreaterThan(0);
      for (const tensor of modules) {
        const ours = source.tensors.get(tensor.name.slice('dequant/'.length))!;
        expect(ours.shape).toEqual(tensor.shape);
        expect(await decodeSourceTensor(ours, CODECS)).toEqual(await decodeSourceTensor(tensor, []));
      }
    },
  );

  test('safetensors of the usual name go before pickles, others after', async () => {
    const dir = temporaryFolder();
    const source = path.join(golden!, 'bin-single');
    const bytes = await readFile(path.join(source, 'pytorch_model.bin'));
    await writeFile(path.join(dir, 'pytorch_model.bin'), bytes);
    await mkdir(path.join(dir, 'x'));
    const plain = await writeCheckpoint(path.join(dir, 'x'));
    await rename(path.join(plain, 'model.safetensors'), path.join(dir, 'adapter_model.safetensors'));
    expect((await openSource(dir)).kind).toBe('pickle');
    await rename(path.join(dir, 'adapter_model.safetensors'), path.join(dir, 'model.safetensors'));
    expect((await openSource(dir)).kind).toBe('safetensors');
  });
});
