import { OptionError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { RepositoryFileError } from '../errors';
import { type ChooseOptions, chooseFiles } from './choose-files';

const index = JSON.stringify({
  weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors', c: 'model-1.safetensors' },
});

async function chosen(paths: readonly string[], options: ChooseOptions = {}, text = index) {
  const files = paths.map((path) => ({ path, size: 1, etag: path, sha256: undefined }));
  return (await chooseFiles('org/name', files, options, async () => text)).map(({ path }) => path);
}

const SMALL = ['config.json', 'generation_config.json', 'special_tokens_map.json', 'tokenizer.json'];

describe('the files of a repository', () => {
  test('are those that a run needs', async () => {
    // As in meta-llama/Llama-3.1-8B, and what others have beside.
    const llama = [
      ...[
        '.gitattributes',
        'LICENSE',
        'README.md',
        'USE_POLICY.md',
        'original/params.json',
        'original/tokenizer.model',
      ],
      ...['model-1.safetensors', 'model-2.safetensors', 'model.safetensors.index.json', 'original/consolidated.00.pth'],
      ...['consolidated.safetensors', 'pytorch_model-1.bin', 'pytorch_model.bin.index.json', 'onnx/model.onnx'],
      ...['flax_model.msgpack', 'tf_model.h5', 'adapter_model.safetensors', 'modeling_x.py', 'figures/a.png'],
    ];
    const shards = ['model-1.safetensors', 'model-2.safetensors'];
    expect(await chosen([...llama, ...SMALL])).toEqual([
      ...SMALL.slice(0, 2),
      'model.safetensors.index.json',
      ...SMALL.slice(2),
      ...shards,
    ]);
  });

  test.each<[string, string[], ChooseOptions, string[]]>([
    [
      'one file before an index, as the loader reads them',
      ['model.safetensors', 'model.safetensors.index.json'],
      {},
      ['model.safetensors'],
    ],
    ['one file of another name', ['weights.safetensors', 'consolidated.safetensors'], {}, ['weights.safetensors']],
    ['.bin where nothing else is', ['pytorch_model.bin', 'training_args.bin', 'model.gguf'], {}, ['pytorch_model.bin']],
    ['.bin where it is wanted', ['model.safetensors', 'pytorch_model.bin'], { weights: 'bin' }, ['pytorch_model.bin']],
    ['GGUF where nothing else is', ['x-Q4_K_M.gguf', 'mmproj-f16.gguf', 'imatrix.gguf'], {}, ['x-Q4_K_M.gguf']],
    ['GGUF where it is wanted', ['model.safetensors', 'x.gguf'], { weights: 'gguf' }, ['x.gguf']],
    [
      'the quantisation that is named',
      ['x-Q4_K.gguf', 'x-Q4_K_M.gguf', 'x.Q8_0.gguf'],
      { quantisation: 'q4_k' },
      ['x-Q4_K.gguf'],
    ],
    [
      'all parts of it',
      ['Q8_0/x-Q8_0-00001-of-00002.gguf', 'Q8_0/x-Q8_0-00002-of-00002.gguf', 'Q2_K/x-Q2_K.gguf'],
      { quantisation: 'Q8_0' },
      ['Q8_0/x-Q8_0-00001-of-00002.gguf', 'Q8_0/x-Q8_0-00002-of-00002.gguf'],
    ],
    [
      'the usual quantisation where none is named',
      ['x-Q4_K_M-00001-of-00002.gguf', 'x-Q4_K_M-00002-of-00002.gguf', 'x-Q8_0.gguf', 'x-Q4_K_S.gguf'],
      {},
      ['x-Q4_K_M-00001-of-00002.gguf', 'x-Q4_K_M-00002-of-00002.gguf'],
    ],
    [
      'named files, in that order',
      ['b.txt', 'a.txt', 'model.safetensors'],
      { files: ['b.txt', 'a.txt'] },
      ['b.txt', 'a.txt'],
    ],
    [
      'templates of chats',
      ['model.safetensors', 'chat_template.jinja', 'additional_chat_templates/rag.jinja'],
      {},
      ['additional_chat_templates/rag.jinja', 'chat_template.jinja', 'model.safetensors'],
    ],
  ])('are %s', async (_, paths, options, expected) => {
    expect(await chosen(paths, options)).toEqual(expected);
  });

  test('are refused where they are not clear, with what there is', async () => {
    const ggufs = ['x-Q4_K_S.gguf', 'x-Q8_0.gguf'];
    await expect(chosen(ggufs)).rejects.toSatisfy(OptionError.isInstance);
    await expect(chosen(ggufs)).rejects.toThrow(/Q4_K_S \(.* MB\), Q8_0 \(/);
    await expect(chosen(ggufs, { quantisation: 'Q2_K' })).rejects.toThrow(/Q4_K_S \(.* MB\), Q8_0 \(/);
    await expect(chosen(['a-Q8_0.gguf', 'b-Q8_0.gguf', 'b-Q2_K.gguf'], { quantisation: 'Q8_0' })).rejects.toThrow(
      /a-Q8_0 \(.* MB\), b-Q8_0 \(/,
    );
    for (const paths of [
      ['config.json', 'model.onnx'],
      ['a.safetensors', 'b.safetensors'],
      ['model.safetensors.index.json'],
    ]) {
      await expect(chosen(paths), paths.join()).rejects.toSatisfy(RepositoryFileError.isInstance);
    }
    await expect(chosen(['model.safetensors.index.json'], {}, '[]')).rejects.toThrow(/not an index/);
    await expect(chosen(['model.safetensors'], { weights: 'gguf' })).rejects.toMatchObject({
      available: ['model.safetensors'],
    });
  });
});
