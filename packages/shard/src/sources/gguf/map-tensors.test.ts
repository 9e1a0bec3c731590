import { readdirSync } from 'node:fs';
import path from 'node:path';
import { openSafetensors } from '@airllm/loader';
import { afterAll, describe, expect, test } from 'vitest';
import { decodeSourceTensor } from '../../testing/decode-source-tensor';
import { sharedFolder } from '../../testing/shared';
import { ggufCodec } from './gguf-codec';
import { mapTensors } from './map-tensors';
import { type Gguf, openGguf } from './open-gguf';
import { readGgufConfig } from './read-config';

/** Of the largest weight. The reference allows 1e-6; nothing here rounds otherwise than ggml does. */
const TOLERANCE = 0;

const golden = sharedFolder('golden-quant');
const cases = golden === undefined ? [] : readdirSync(golden).filter((name) => name.startsWith('gguf-'));
const seen = new Set<string>();

describe.skipIf(golden === undefined)('weights of the reference files', () => {
  test.each(cases)('%s', async (name) => {
    const dir = path.join(golden!, name);
    const first = readdirSync(dir).find((file) => file === 'model.gguf' || file.includes('-00001-of-'))!;
    const gguf = await openGguf(path.join(dir, first));
    const tensors = mapTensors(gguf, await readGgufConfig(gguf));
    const expected = await openSafetensors(path.join(dir, 'expected.safetensors'));
    let checked = 0;
    for (const [key, meta] of expected.tensors) {
      if (!key.startsWith('dequant/') && !key.startsWith('gguf/')) continue;
      using host = await meta.materialize();
      const want = host.toFloat32();
      const got = key.startsWith('gguf/')
        ? await storedNumbers(gguf, key.slice('gguf/'.length))
        : await decodeSourceTensor(tensors.get(key.slice('dequant/'.length))!, [ggufCodec]);
      const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const error = want.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i]!)), 0);
      expect(got.length).toBeGreaterThanOrEqual(want.length);
      expect(error, `${key} of ${largest}`).toBeLessThanOrEqual(TOLERANCE * largest);
      checked++;
    }
    for (const { type } of gguf.tensors.values()) seen.add(type.name);
    expect(checked).toBeGreaterThan(1);
  });

  afterAll(() => {
    // Of the types that the issue names, none went unchecked.
    const named = ['Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K', 'MXFP4'];
    const more = ['F32', 'F16', 'BF16', 'IQ4_NL', 'IQ4_XS', 'IQ2_XXS', 'IQ2_XS', 'IQ3_XXS'];
    expect([...named, ...more].filter((type) => !seen.has(type))).toEqual([]);
  });
});

/** A tensor in ggml's own order of rows. */
async function storedNumbers(gguf: Gguf, name: string): Promise<Float32Array> {
  // Under another name its rows stay where they are.
  const renamed = { ...gguf.tensors.get(name)!, name: 'output.weight' };
  const tensors = mapTensors({ ...gguf, tensors: new Map([['output.weight', renamed]]) }, {});
  return decodeSourceTensor(tensors.get('lm_head.weight')!, [ggufCodec]);
}
