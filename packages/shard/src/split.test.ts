import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isPadding, OptionError, openCheckpoint, openSafetensors } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { ConversionOverflowError, TargetError } from './errors';
import type { ShardProgress } from './progress';
import { splitCheckpoint } from './split';
import { hashFolder, readFolder, readTensors, smallModel, writeCheckpoint } from './testing/checkpoints';
import { sharedFolder } from './testing/shared';
import { temporaryFolder } from './testing/temporary';
import { verifyShards } from './verify';

const quantised = sharedFolder('golden-quant');

test('a sharded mixture of experts becomes a file per layer and per expert, every byte the same', async () => {
  const dir = temporaryFolder();
  const source = await writeCheckpoint(path.join(dir, 'source'), { layers: 2, experts: 2, shards: 3 });
  const before = await hashFolder(source);
  const out = path.join(dir, 'deep', 'out');

  const report = await splitCheckpoint(source, out);

  expect([...(await readFolder(out)).keys()]).toEqual([
    'config.json',
    'embed.safetensors',
    'head.safetensors',
    'manifest.json',
    'model.layers.00.experts.00.safetensors',
    'model.layers.00.experts.01.safetensors',
    'model.layers.00.safetensors',
    'model.layers.01.experts.00.safetensors',
    'model.layers.01.experts.01.safetensors',
    'model.layers.01.safetensors',
    'model.safetensors.index.json',
    'norm.safetensors',
    'tokenizer.json',
  ]);
  expect(report.manifest.files.map(({ role, layer, expert }) => [role, layer, expert])).toEqual([
    ['embed', null, null],
    ['layer', 0, null],
    ['expert', 0, 0],
    ['expert', 0, 1],
    ['layer', 1, null],
    ['expert', 1, 0],
    ['expert', 1, 1],
    ['norm', null, null],
    ['head', null, null],
  ]);
  expect(await sameTensors(source, out)).toBe(smallModel({ layers: 2, experts: 2 }).length);
  expect(await hashFolder(source)).toEqual(before);
  expect((await openCheckpoint(out)).layout).toBe('layered');
  await verifyShards(out);
});

test('tensors stand in consumption order and aligned; data begins at 4 KiB; anyone can read the file', async () => {
  const dir = temporaryFolder();
  const source = await writeCheckpoint(path.join(dir, 'source'), { layers: 1 });
  await splitCheckpoint(source, path.join(dir, 'out'));
  const { tensors } = await openSafetensors(path.join(dir, 'out', 'model.layers.00.safetensors'));
  const real = [...tensors.values()].filter((tensor) => !isPadding(tensor));
  expect(real.map(({ name }) => name.replace('model.layers.0.', ''))).toEqual([
    'input_layernorm.weight',
    'self_attn.q_proj.bias',
    'self_attn.q_proj.weight',
    'self_attn.k_proj.weight',
    'self_attn.v_proj.weight',
    'self_attn.o_proj.weight',
    'post_attention_layernorm.weight',
    'mlp.gate_proj.weight',
    'mlp.up_proj.weight',
    'mlp.down_proj.weight',
  ]);
  expect(real.map(({ extent }) => extent!.offset % 64)).toEqual(real.map(() => 0));
  expect(real[0]!.extent!.offset).toBe(4096);
});

test('the index opens the folder as a sharded checkpoint for other readers', async () => {
  const dir = temporaryFolder();
  const source = await writeCheckpoint(path.join(dir, 'source'));
  const out = path.join(dir, 'out');
  await splitCheckpoint(source, out);
  const sharded = await openCheckpoint(path.join(out, 'model.safetensors.index.json'));
  expect(sharded.layout).toBe('sharded');
  expect([...sharded.tensors.keys()].sort()).toEqual([...(await openCheckpoint(source)).tensors.keys()].sort());
});

test('a single file, an index and a layered folder are sources too; layering twice changes no layer file', async () => {
  const dir = temporaryFolder();
  const single = await writeCheckpoint(path.join(dir, 'single'));
  const sharded = await writeCheckpoint(path.join(dir, 'sharded'), { shards: 2 });
  await splitCheckpoint(path.join(single, 'model.safetensors'), path.join(dir, 'a'));
  await splitCheckpoint(path.join(sharded, 'model.safetensors.index.json'), path.join(dir, 'b'));
  await sameTensors(single, path.join(dir, 'a'));
  await sameTensors(sharded, path.join(dir, 'b'));
  await splitCheckpoint(path.join(dir, 'a'), path.join(dir, 'c'));
  const { 'manifest.json': _, ...once } = await hashFolder(path.join(dir, 'a'));
  expect(await hashFolder(path.join(dir, 'c'))).toMatchObject(once);
});

test('what a model needs is copied, through links too; other weights, folders and hidden files are named', async () => {
  const dir = temporaryFolder();
  const source = await writeCheckpoint(path.join(dir, 'source'));
  await writeFile(path.join(dir, 'vocab'), 'linked');
  await symlink(path.join(dir, 'vocab'), path.join(source, 'vocab.txt'));
  await mkdir(path.join(source, 'additional_chat_templates'));
  await writeFile(path.join(source, 'additional_chat_templates', 'tool_use.jinja'), '{{ messages }}');
  await mkdir(path.join(source, 'original'));
  for (const name of ['pytorch_model.bin', 'other.safetensors', '.gitattributes', 'LICENSE', 'empty.txt']) {
    await writeFile(path.join(source, name), name === 'empty.txt' ? '' : name);
  }
  const out = path.join(dir, 'out');
  const { notCopied } = await splitCheckpoint(source, out);
  expect(notCopied).toEqual(['.gitattributes', 'original', 'other.safetensors', 'pytorch_model.bin']);
  const files = await readFolder(out);
  expect(String(files.get('vocab.txt'))).toBe('linked');
  expect(String(files.get('LICENSE'))).toBe('LICENSE');
  expect(String(files.get('empty.txt'))).toBe('');
  expect(String(files.get(path.join('additional_chat_templates', 'tool_use.jinja')))).toBe('{{ messages }}');
  await verifyShards(out);
});

describe('dtype', () => {
  test('float32 becomes bfloat16 and the configuration says so; integers keep their bytes', async () => {
    const dir = temporaryFolder();
    const extra = [{ name: 'model.layers.0.codes', dtype: 'I32', shape: [7] }] as const;
    const source = await writeCheckpoint(path.join(dir, 'source'), { dtype: 'BF16', extra });
    const wide = path.join(dir, 'wide');
    await splitCheckpoint(source, wide, { dtype: 'float32' });
    expect((await readTensors(wide)).get('lm_head.weight')!.dtype).toBe('F32');
    expect(await readFile(path.join(wide, 'config.json'), 'utf8')).toBe(
      '{\n "model_type": "llama", "rms_norm_eps": 1e-05, "torch_dtype": "float32"\n}\n',
    );
    // Widening is exact, so narrowing brings the same bytes back, except that signalling NaNs become quiet.
    const narrow = path.join(dir, 'narrow');
    await splitCheckpoint(wide, narrow, { dtype: 'bfloat16' });
    const [was, is] = [await readTensors(source), await readTensors(narrow)];
    for (const [name, { dtype, bytes }] of was) {
      expect(is.get(name)!.dtype).toBe(dtype);
      expect(is.get(name)!.bytes.equals(dtype === 'BF16' ? quiet(bytes) : bytes), name).toBe(true);
    }
  });

  test('a value that float16 cannot hold is refused by tensor and element, and nothing is left', async () => {
    const dir = temporaryFolder();
    const source = await writeCheckpoint(path.join(dir, 'source'));
    const failure = await splitCheckpoint(source, path.join(dir, 'out'), { dtype: 'float16', concurrency: 1 }).catch(
      (e) => e,
    );
    expect(ConversionOverflowError.isInstance(failure)).toBe(true);
    expect(failure).toMatchObject({ tensor: 'model.embed_tokens.weight', dtype: 'F16' });
    expect(Math.abs(failure.value)).toBeGreaterThan(65504);
    expect([...(await readFolder(dir)).keys()].filter((name) => name.startsWith('out'))).toEqual([]);
  });

  test.skipIf(quantised === undefined)('quantised models are not converted', async () => {
    const source = path.join(quantised!, 'fp8-tensor');
    const out = path.join(temporaryFolder(), 'out');
    const failure = await splitCheckpoint(source, out, { dtype: 'float16' }).catch((e) => e);
    expect(OptionError.isInstance(failure) && failure.option).toBe('dtype');
  });
});

test('progress rises to the end, and an error of its listener ends the split', async () => {
  const dir = temporaryFolder();
  const source = await writeCheckpoint(path.join(dir, 'source'), { hidden: 512, intermediate: 1024 });
  const seen: ShardProgress[] = [];
  await splitCheckpoint(source, path.join(dir, 'out'), { onProgress: (progress) => seen.push(progress) });
  const done = seen.map(({ bytesDone }) => bytesDone);
  expect(done).toEqual([...done].sort((a, b) => a - b));
  expect(seen.at(-1)).toMatchObject({ phase: 'split', bytesDone: seen[0]!.bytesTotal, etaSeconds: 0 });
  expect(done[0]).toBe(0);
  const onProgress = () => {
    throw new RangeError('enough');
  };
  await expect(splitCheckpoint(source, path.join(dir, 'other'), { onProgress })).rejects.toThrow(RangeError);
});

test('a target that is the source, holds other things or is a file is refused and stays as it was', async () => {
  const dir = temporaryFolder();
  const source = await writeCheckpoint(path.join(dir, 'source'));
  const taken = path.join(dir, 'taken');
  await mkdir(taken);
  await writeFile(path.join(taken, 'thesis.txt'), 'x');
  await writeFile(path.join(taken, 'manifest.json'), '{"name":"a web app"}');
  await symlink(source, path.join(dir, 'link'));
  const before = await hashFolder(dir);
  for (const target of [
    source,
    path.join(dir, 'link'),
    taken,
    path.join(taken, 'thesis.txt'),
    path.join(taken, 'thesis.txt', 'below'),
  ]) {
    const failure = await splitCheckpoint(source, target, { restart: true }).catch((e) => e);
    expect(TargetError.isInstance(failure), target).toBe(true);
  }
  expect(await hashFolder(dir)).toEqual(before);
});

test.each([
  ['dtype', { dtype: 'int8' }],
  ['deleteSource', { deleteSource: true }],
  ['concurrency', { concurrency: 0 }],
])('option %s is checked', async (option, options) => {
  const failure = await splitCheckpoint('nowhere', 'nowhere', options as never).catch((e) => e);
  expect(OptionError.isInstance(failure) && failure.option).toBe(option);
});

describe.skipIf(quantised === undefined)('reference checkpoints', () => {
  test.each([
    'st-no-prefix',
    'st-shards-0based',
    'st-tied-embed',
    'st-tied-head',
    'st-unordered',
    'st-dtypes/dtypes.safetensors',
  ])('%s keeps every byte', async (name) => {
    const file = path.join(quantised!, name);
    const out = path.join(temporaryFolder(), 'out');
    await splitCheckpoint(file, out);
    expect(await sameTensors(file, out)).toBeGreaterThan(3);
    await verifyShards(out);
  });
});

/** How many tensors there are, after comparing each. */
async function sameTensors(source: string, target: string): Promise<number> {
  const [was, is] = [await readTensors(source), await readTensors(target)];
  expect([...is.keys()].sort()).toEqual([...was.keys()].sort());
  for (const [name, { dtype, shape, bytes }] of was) {
    expect(is.get(name)).toMatchObject({ dtype, shape });
    expect(is.get(name)!.bytes.equals(bytes), name).toBe(true);
  }
  return was.size;
}

/** BF16 values with every NaN made quiet. */
function quiet(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = 0; at < copy.length; at += 2) {
    const value = copy.readUInt16LE(at);
    if ((value & 0x7fff) > 0x7f80) copy.writeUInt16LE(value | 0x40, at);
  }
  return copy;
}
