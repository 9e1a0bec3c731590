import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { componentsOf, PackedTensor } from '@airllm/kernels';
import { openCheckpoint } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { CODECS } from './sources/codecs/registry';
import { openSource } from './sources/open-source';
import { isConversion, type ModelSource } from './sources/source';
import { splitCheckpoint } from './split';
import { decodeSourceTensor } from './testing/decode-source-tensor';
import { sharedFolder } from './testing/shared';
import { temporaryFolder } from './testing/temporary';
import { verifyShards } from './verify';

const golden = sharedFolder('golden-quant');
const names = golden === undefined ? [] : readdirSync(golden).filter((name) => !/^(?:bad|st)-/.test(name));

describe.skipIf(golden === undefined)('a published model and its layers hold the same numbers', () => {
  test.each(names)('%s', async (name) => {
    const source = await openSource(path.join(golden!, name));
    const out = path.join(temporaryFolder(), 'out');
    await splitCheckpoint(path.join(golden!, name), out);
    await verifyShards(out);
    const layers = await openSource(out);

    expect(layers.kind).toBe('shards');
    expect([...layers.tensors.keys()].sort()).toEqual([...source.tensors.keys()].sort());
    for (const [tensor, was] of source.tensors) {
      const [before, after] = [await decodedOf(source, tensor), await decodedOf(layers, tensor)];
      expect(Buffer.from(after.buffer).equals(Buffer.from(before.buffer)), tensor).toBe(true);
      const is = layers.tensors.get(tensor)!;
      expect(isConversion(is)).toBe(false);
      expect(is.shape).toEqual(was.shape);
      if (isConversion(was) && 'format' in was.output) {
        expect(PackedTensor.isInstance(is) && componentsOf(is.format)).toEqual(componentsOf(was.output.format));
      }
    }
    const expected = await dequantised(name);
    expect(expected.length).toBeGreaterThan(0);
    for (const [tensor, numbers] of expected) {
      // Experts that are stacked there are one by one here.
      if (!source.tensors.has(tensor) && /\.(?:experts|switch_mlp)\./.test(tensor)) continue;
      expect(differenceOf(await decodedOf(layers, tensor), numbers), tensor).toBeLessThan(1e-6);
    }
  });

  test('other programs refuse the folder instead of reading codes as weights', async () => {
    const out = path.join(temporaryFolder(), 'out');
    const { notCopied } = await splitCheckpoint(path.join(golden!, 'fp8-tensor'), out);
    expect(notCopied).not.toContain('config.json');
    const { quantization_config: own, ...config } = JSON.parse(readFileSync(path.join(out, 'config.json'), 'utf8'));
    const { quantization_config: _, ...was } = JSON.parse(
      readFileSync(path.join(golden!, 'fp8-tensor', 'config.json'), 'utf8'),
    );
    expect(own).toEqual({ quant_method: 'airllm', source: 'fp8' });
    expect(config).toEqual(was);
    // transformers goes on past an unknown method, and finds sharded weights by this name alone.
    expect(readdirSync(out)).not.toContain('model.safetensors.index.json');
    const sharded = await openCheckpoint(path.join(out, 'airllm.safetensors.index.json'));
    expect(sharded.tensors.size).toBe((await openCheckpoint(out)).tensors.size);
    const source = await openSource(out);
    expect(source).toMatchObject({ config: was, quantisation: 'fp8' });
  });

  test('layering twice changes no file', async () => {
    const dir = temporaryFolder();
    await splitCheckpoint(path.join(golden!, 'bnb-nf4-nested'), path.join(dir, 'once'));
    await splitCheckpoint(path.join(dir, 'once'), path.join(dir, 'twice'));
    const once = readdirSync(path.join(dir, 'once')).filter((name) => name !== 'manifest.json');
    for (const name of once) {
      const [a, b] = ['once', 'twice'].map((folder) => readFileSync(path.join(dir, folder, name)));
      expect(a!.equals(b!), name).toBe(true);
    }
  });
});

async function decodedOf(source: ModelSource, tensor: string): Promise<Float32Array> {
  // A copy: what is compared is all of its memory.
  return (await decodeSourceTensor(source.tensors.get(tensor)!, CODECS)).slice();
}

/** What the library that made a model says of some of its matrices. */
async function dequantised(name: string): Promise<[string, Float32Array][]> {
  const { tensors } = await openCheckpoint(path.join(golden!, name, 'expected.safetensors'));
  const found = [...tensors.values()].filter((tensor) => tensor.name.startsWith('dequant/'));
  return Promise.all(
    found.map(async (tensor) => [tensor.name.slice('dequant/'.length), await decodeSourceTensor(tensor, [])] as const),
  ) as Promise<[string, Float32Array][]>;
}

/** Largest difference, as a part of the largest number. */
function differenceOf(found: Float32Array, expected: Float32Array): number {
  let largest = 0;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]!));
    const here = Math.abs(found[i]! - expected[i]!);
    difference = Number.isNaN(here) ? Number.POSITIVE_INFINITY : Math.max(difference, here);
  }
  return found.length === expected.length ? difference / largest : Number.POSITIVE_INFINITY;
}
