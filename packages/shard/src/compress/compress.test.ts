import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { PackedTensor } from '@airllm/kernels';
import { FormatError, MetaTensor, OptionError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { SourceChangedError } from '../errors';
import { readManifest } from '../manifest';
import { compressConversion } from '../sources/codecs/compress';
import { CODECS } from '../sources/codecs/registry';
import { openSource } from '../sources/open-source';
import { splitCheckpoint } from '../split';
import { writeCheckpoint } from '../testing/checkpoints';
import { decodeSourceTensor } from '../testing/decode-source-tensor';
import { sharedFolder } from '../testing/shared';
import { temporaryFolder } from '../testing/temporary';
import { verifyShards } from '../verify';
import type { Compression } from './kinds';

/** Numbers that are normally distributed, nearly, the same every time. */
function normal(count: number, deviation: number, seed = 1): Float32Array {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += uniform();
    return sum * deviation;
  });
}

function tensor(name: string, values: Float32Array, shape: number[]): MetaTensor {
  return new MetaTensor({ name, dtype: 'F32', shape, literal: new Uint8Array(values.buffer) });
}

/** A matrix before and after. */
async function roundTrip(kind: Compression, values: Float32Array, shape: number[]) {
  const matrix = tensor('m.weight', values, shape);
  return decodeSourceTensor(compressConversion(matrix, kind), CODECS);
}

function relativeError(before: Float32Array, after: Float32Array): number {
  let error = 0;
  let norm = 0;
  for (let i = 0; i < before.length; i++) {
    error += (after[i]! - before[i]!) ** 2;
    norm += before[i]! ** 2;
  }
  return Math.sqrt(error / norm);
}

/** Rounding to nearest with the scale that just reaches the largest weight (and the smallest), block by block. */
function roundedToNearest(kind: Compression, values: Float32Array): Float32Array {
  const out = new Float32Array(values.length);
  for (let from = 0; from < values.length; from += 64) {
    const block = values.subarray(from, from + 64);
    const high = Math.max(0, ...block);
    const low = Math.min(0, ...block);
    const scale = kind === '8bit' ? Math.max(high, -low) / 127 : (high - low) / 15;
    const zero = kind === '8bit' ? 0 : Math.round(-low / scale);
    for (const [i, weight] of block.entries()) {
      const code = Math.round(weight / scale) + zero;
      out[from + i] = ((kind === '8bit' ? code : Math.min(15, Math.max(0, code))) - zero) * scale;
    }
  }
  return out;
}

describe('a block', () => {
  const values = normal(64 * 400, 0.02);

  test.each([
    ['8bit', 0.99, 0.0058],
    ['4bit', 0.975, 0.0872],
  ] as const)('of %s loses less than rounding to nearest does', async (kind, part, most) => {
    const error = relativeError(values, await roundTrip(kind, values, [100, 256]));
    expect(error).toBeLessThan(part * relativeError(values, roundedToNearest(kind, values)));
    expect(error).toBeLessThan(most);
  });

  test('of nf4 loses less than with its largest weight as scale', async () => {
    const error = relativeError(values, await roundTrip('nf4', values, [100, 256]));
    // bitsandbytes' own on such numbers: 0.0913.
    expect(error).toBeLessThan(0.088);
  });

  test.each(['8bit', '4bit', 'nf4'] as const)('of %s: zeros stay zeros, weights all alike nearly so', async (kind) => {
    const zeros = await roundTrip(kind, new Float32Array(128), [2, 64]);
    expect([...zeros].every((value) => value === 0)).toBe(true);
    for (const value of [0.5, -0.3]) {
      const alike = new Float32Array(64).fill(value);
      // What a bfloat16 scale can be off by.
      expect(relativeError(alike, await roundTrip(kind, alike, [1, 64]))).toBeLessThan(2 ** -8);
    }
  });

  test.each(['8bit', '4bit', 'nf4'] as const)('in %s: tiny, huge, and a short last one', async (kind) => {
    for (const deviation of [1e-30, 1e30]) {
      const some = normal(3 * 100, deviation, 5);
      expect(relativeError(some, await roundTrip(kind, some, [3, 100]))).toBeLessThan(kind === '8bit' ? 0.006 : 0.1);
    }
    const denormal = new Float32Array(64).fill(1e-42);
    expect([...(await roundTrip(kind, denormal, [1, 64]))].every((value) => Math.abs(value) <= 2e-42)).toBe(true);
  });
});

describe('splitting with compress', () => {
  const model = { layers: 2, hidden: 128, intermediate: 192, dtype: 'F32', normal: true } as const;

  test.each([
    ['8bit', 0.006],
    ['4bit', 0.092],
    ['nf4', 0.092],
  ] as const)('%s: matrices of layers are packed, the head has 8 bits, the rest stays', async (compress, most) => {
    const dir = temporaryFolder();
    const source = await writeCheckpoint(path.join(dir, 'source'), { ...model, experts: 2 });
    const out = path.join(dir, 'out');
    const { errors, manifest } = await splitCheckpoint(source, out, { compress, dtype: 'bfloat16' });
    await verifyShards(out);
    expect(manifest.compress).toBe(compress);
    const layers = await openSource(out);
    expect(layers.quantisation).toBe(`airllm-${compress}`);
    const packed = [...layers.tensors.values()].filter(PackedTensor.isInstance);
    expect([...errors.keys()].sort()).toEqual(packed.map(({ name }) => name).sort());
    expect(packed.map(({ name }) => name)).toContain('model.layers.1.block_sparse_moe.experts.1.w2.weight');
    for (const name of [
      'model.embed_tokens.weight',
      'model.layers.0.block_sparse_moe.gate.weight',
      'model.norm.weight',
    ]) {
      expect(layers.tensors.get(name)).toMatchObject({ dtype: 'BF16' });
    }
    const before = await openSource(source);
    for (const { name, format } of packed) {
      const numbers = await decodeSourceTensor(before.tensors.get(name)!, CODECS);
      const found = relativeError(numbers, await decodeSourceTensor(layers.tensors.get(name)!, CODECS));
      expect(errors.get(name)).toBeCloseTo(found, 6);
      expect(found).toBeLessThan(name === 'lm_head.weight' ? 0.006 : most);
      if (name === 'lm_head.weight') expect(format.code).toBe('i8');
    }
  });

  test('a finished split knows its errors; another compression is another split', async () => {
    const dir = temporaryFolder();
    const source = await writeCheckpoint(path.join(dir, 'source'), model);
    const out = path.join(dir, 'out');
    const first = await splitCheckpoint(source, out, { compress: '4bit' });
    const again = await splitCheckpoint(source, out, { compress: '4bit' });
    expect(again).toMatchObject({ filesWritten: 0, errors: first.errors });
    expect(first.errors.size).toBe(15);
    const failure = await splitCheckpoint(source, out, { compress: '8bit' }).catch((e) => e);
    expect(SourceChangedError.isInstance(failure) && failure.changes).toEqual(['compress was 4bit and is 8bit']);
    expect((await readManifest(out)).compress).toBe('4bit');
    expect(JSON.parse(await readFile(path.join(out, 'config.json'), 'utf8')).quantization_config).toEqual({
      quant_method: 'airllm',
      source: 'airllm-4bit',
    });
  });

  test('a weight that is no number is refused by tensor, and nothing stays', async () => {
    const dir = temporaryFolder();
    // Random bits hold NaNs.
    const source = await writeCheckpoint(path.join(dir, 'source'), { ...model, normal: false });
    const failure = await splitCheckpoint(source, path.join(dir, 'out'), { compress: '4bit' }).catch((e) => e);
    expect(FormatError.isInstance(failure) && failure.tensor).toMatch(/^model\.layers\.\d\..*weight$/);
    expect(failure.message).toMatch(/no finite number/);
  });

  const golden = sharedFolder('golden-quant');
  test.skipIf(golden === undefined).each(['bnb-nf4', 'gguf-f16', 'gguf-q4_0'])('%s is refused', async (name) => {
    const out = path.join(temporaryFolder(), 'out');
    const failure = await splitCheckpoint(path.join(golden!, name), out, { compress: '8bit' }).catch((e) => e);
    expect(OptionError.isInstance(failure) && failure.option).toBe('compress');
  });
});
