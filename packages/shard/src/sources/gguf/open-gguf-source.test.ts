import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { MetaTensor } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { sharedFolder } from '../../testing/shared';
import { temporaryFolder } from '../../testing/temporary';
import { str, writeGguf } from '../../testing/write-gguf';
import { openSource } from '../open-source';
import { isConversion } from '../source';

test('a file that describes no model has its tensors under their own names', async () => {
  const tensor = { name: 'w', type: 0, dimensions: [32], bytes: new Uint8Array(128) };
  const metadata = { 'general.architecture': str('llama') };
  const file = writeGguf(path.join(temporaryFolder(), 'm.gguf'), { metadata, tensors: [tensor] });
  const source = await openSource(file);
  expect(source).toMatchObject({ kind: 'gguf', quantisation: 'gguf', config: null, files: [file] });
  expect(MetaTensor.isInstance(source.tensors.get('w'))).toBe(true);
});

const golden = sharedFolder('golden-quant');

describe.skipIf(golden === undefined)('reference files', () => {
  test.each(['gguf-q4_k', 'gguf-split-q8_0'])('%s opens by its folder and by its file', async (name) => {
    const dir = path.join(golden!, name);
    const source = await openSource(dir);
    expect(source.config).toMatchObject({ model_type: 'llama', vocab_size: 96 });
    expect([...source.extras.keys()]).toEqual(['tokenizer.json', 'tokenizer_config.json', 'generation_config.json']);
    expect([...source.tensors.values()].filter(isConversion).length).toBe(9);
    const file = readdirSync(dir).find((entry) => entry.endsWith('.gguf'))!;
    expect((await openSource(path.join(dir, file))).tensors).toEqual(source.tensors);
  });

  const bad = path.join(golden ?? '', 'bad-gguf');
  const expected = golden === undefined ? {} : JSON.parse(readFileSync(path.join(bad, 'expected.json'), 'utf8'));
  test.each(Object.keys(expected))('%s', async (name) => {
    const opened = await openSource(path.join(bad, name)).then(
      () => true,
      () => false,
    );
    expect(opened).toBe(expected[name].valid);
  });
});
