import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { openCheckpoint } from '@airllm/loader';
import { buildModel } from '@airllm/runtime';
import { afterAll, expect, test } from 'vitest';
import { shapeConfig } from './shapes';
import { writeSynthetic } from './synthetic';

const dir = mkdtempSync(path.join(os.tmpdir(), 'airllm bench#'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test.each(['BF16', 'F16', 'F32'] as const)(
  'a sharded %s checkpoint that the runtime takes, with sane weights',
  async (dtype) => {
    const out = path.join(dir, dtype);
    const bytes = await writeSynthetic(out, shapeConfig('tiny'), {
      layers: 2,
      dtype,
      shardBytes: 100_000,
      fsync: false,
    });
    const checkpoint = await openCheckpoint(out);
    expect(checkpoint.layout).toBe('sharded');
    expect(checkpoint.byteLength).toBe(bytes);
    const model = buildModel(checkpoint.config, checkpoint);
    expect(model.tensors.size).toBe(checkpoint.tensors.size);
    expect(model.layers).toHaveLength(2);

    const norm = await checkpoint.tensors.get('model.norm.weight')!.materialize();
    expect([...norm.toFloat32()]).toEqual(new Array(64).fill(1));
    norm.dispose();
    const matrix = await checkpoint.tensors.get('model.embed_tokens.weight')!.materialize();
    const values = [...matrix.toFloat32()];
    matrix.dispose();
    const mean = values.reduce((a, b) => a + b) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
    expect(Math.abs(mean)).toBeLessThan(0.001);
    expect(deviation).toBeGreaterThan(0.019);
    expect(deviation).toBeLessThan(0.021);
  },
);

test('the tokenizer has every byte once and the vocabulary the model was made for', () => {
  const { model, added_tokens } = JSON.parse(readFileSync(path.join(dir, 'F32', 'tokenizer.json'), 'utf8'));
  const ids = Object.values(model.vocab) as number[];
  expect(new Set(ids).size).toBe(1000);
  expect(Math.max(...ids)).toBe(999);
  // 'Ġ' stands for the space, 'Ċ' for the line feed.
  for (const word of ['a', '!', 'Ġ', 'Ċ', 'ÿ']) expect(model.vocab[word]).toBeTypeOf('number');
  expect(added_tokens.map(({ id, content }: { id: number; content: string }) => [id, content])).toEqual([
    [0, '<unk>'],
    [1, '<s>'],
    [2, '</s>'],
  ]);
});
