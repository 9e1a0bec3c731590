import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { openCheckpoint } from '@airllm/loader';
import { afterAll, expect, test } from 'vitest';
import { layoutGguf } from './gguf';
import { ggufName, interleaveHalves, widen, writeLlamaGguf } from './llama-gguf';
import { shapeConfig } from './shapes';
import { writeSynthetic } from './synthetic';

const dir = mkdtempSync(path.join(os.tmpdir(), 'airllm bench#'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A reader after ggml/docs/gguf.md, of its own: what the writer lays out must be what the format says. */
function parseGguf(file: Buffer) {
  let at = 0;
  const take = (length: number) => {
    at += length;
    return file.subarray(at - length, at);
  };
  const u32 = () => take(4).readUInt32LE();
  const u64 = () => Number(take(8).readBigUInt64LE());
  const string = () => take(u64()).toString();
  const readers: Record<number, () => unknown> = {
    4: u32,
    5: () => take(4).readInt32LE(),
    6: () => take(4).readFloatLE(),
    8: string,
    9: () => {
      const type = u32();
      return Array.from({ length: u64() }, () => readers[type]!());
    },
  };
  expect(take(4).toString()).toBe('GGUF');
  expect(u32()).toBe(3);
  const [tensorCount, valueCount] = [u64(), u64()];
  const metadata = new Map(Array.from({ length: valueCount }, () => [string(), readers[u32()]!()] as const));
  const tensors = Array.from({ length: tensorCount }, () => ({
    name: string(),
    dims: Array.from({ length: u32() }, u64),
    type: u32(),
    offset: u64(),
  }));
  const data = Math.ceil(at / 32) * 32;
  return {
    metadata,
    tensors: new Map(tensors.map((tensor) => [tensor.name, { ...tensor, offset: data + tensor.offset }])),
  };
}

test('a header reads back as what was laid out, data aligned', () => {
  const metadata = {
    'general.architecture': { type: 'string', value: 'llamä' },
    'llama.block_count': { type: 'u32', value: 2 },
    'llama.rope.freq_base': { type: 'f32', value: 0.5 },
    types: { type: 'i32[]', value: [1, -3] },
    words: { type: 'string[]', value: ['a', '', 'ÿ'] },
  } as const;
  const layout = layoutGguf(metadata, [
    { name: 'norm', type: 'F32', shape: [5] },
    { name: 'matrix', type: 'BF16', shape: [3, 7] },
  ]);
  const read = parseGguf(layout.header);
  expect(Object.fromEntries(read.metadata)).toEqual(
    Object.fromEntries(Object.entries(metadata).map(([key, { value }]) => [key, value])),
  );
  expect(read.tensors.get('norm')).toMatchObject({ dims: [5], type: 0, offset: layout.places[0]!.offset });
  expect(read.tensors.get('matrix')).toMatchObject({ dims: [7, 3], type: 30, offset: layout.places[1]!.offset });
  expect(layout.places).toEqual([
    { offset: layout.header.length, length: 20 },
    { offset: layout.header.length + 32, length: 42 },
  ]);
  expect(layout.header.length % 32).toBe(0);
  expect(layout.fileBytes).toBe(layout.header.length + 32 + 64);
});

test('rotated rows go from halves to neighbouring pairs', () => {
  expect([...interleaveHalves(Uint8Array.of(0, 0, 1, 1, 2, 2, 3, 3), 4)]).toEqual([0, 0, 2, 2, 1, 1, 3, 3]);
});

test('bf16 widens to the same number', () => {
  expect(new Float32Array(widen(Uint8Array.of(0x80, 0x3f, 0x20, 0xc0)).buffer)).toEqual(Float32Array.of(1, -2.5));
});

test('names are those of llama.cpp', () => {
  expect(ggufName('model.layers.12.self_attn.k_proj.weight')).toBe('blk.12.attn_k.weight');
  expect(ggufName('lm_head.weight')).toBe('output.weight');
  expect(() => ggufName('model.layers.0.self_attn.q_norm.weight')).toThrow('q_norm');
});

test('a checkpoint becomes one file with the same bits in its matrices', async () => {
  const source = path.join(dir, 'tiny');
  const config = shapeConfig('tiny');
  await writeSynthetic(source, config, { layers: 2, shardBytes: 100_000, fsync: false });
  const target = path.join(dir, 'tiny.gguf');
  await writeLlamaGguf(source, target);
  const file = readFileSync(target);
  const { metadata, tensors } = parseGguf(file);
  expect(metadata.get('llama.block_count')).toBe(2);
  expect(metadata.get('llama.rope.dimension_count')).toBe(16);
  expect(metadata.get('tokenizer.ggml.tokens')).toHaveLength(1000);
  expect(new Set(metadata.get('tokenizer.ggml.tokens') as string[]).size).toBe(1000);

  const checkpoint = await openCheckpoint(source);
  expect(tensors.size).toBe(checkpoint.tensors.size);
  const stored = async (name: string) => {
    const tensor = await checkpoint.tensors.get(name)!.materialize();
    const values = [...tensor.toFloat32()];
    tensor.dispose();
    return values;
  };
  const written = (name: string, length: number) => {
    const { offset } = tensors.get(name)!;
    return Array.from(
      { length },
      (_, i) => new Float32Array(Uint32Array.of(file.readUInt16LE(offset + 2 * i) << 16).buffer)[0]!,
    );
  };
  const down = await stored('model.layers.1.mlp.down_proj.weight');
  expect(written('blk.1.ffn_down.weight', down.length)).toEqual(down);
  // Heads of 16 rows of 64: the second row written is the ninth stored.
  const q = await stored('model.layers.0.self_attn.q_proj.weight');
  const rows = written('blk.0.attn_q.weight', q.length);
  expect(rows.slice(64, 128)).toEqual(q.slice(8 * 64, 9 * 64));
  expect(rows.slice(17 * 64, 18 * 64)).toEqual(q.slice(24 * 64, 25 * 64));
  const norm = tensors.get('output_norm.weight')!;
  expect(norm.type).toBe(0);
  expect(file.readFloatLE(norm.offset)).toBe(1);
  expect(readdirSync(dir).filter((name) => name.endsWith('.partial'))).toEqual([]);
});
