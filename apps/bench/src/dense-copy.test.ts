import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { openCheckpoint, openSafetensors } from '@airllm/loader';
import { afterAll, expect, test } from 'vitest';
import { haveShared, shared } from '../../../.ci/shared';
import { denseCopy } from './dense-copy';

const dir = mkdtempSync(path.join(os.tmpdir(), 'airllm bench#'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Of a number: rounding to bfloat16 errs by half of the eighth bit at most. */
const ROUNDING = 2 ** -8;

test.skipIf(!haveShared()).each(['gptq-4bit-g128', 'bnb-nf4'])(
  '%s: dense weights are those its codes stand for',
  async (name) => {
    const source = shared(`golden-quant/${name}`);
    const copy = await openCheckpoint(await denseCopy(source, path.join(dir, name)));
    expect(copy.config).not.toHaveProperty('quantization_config');
    const { tensors } = await openSafetensors(path.join(source, 'expected.safetensors'));
    const known = [...tensors.keys()].filter((key) => key.startsWith('dequant/'));
    expect(known.length).toBeGreaterThan(0);
    for (const key of known) {
      const expected = (await tensors.get(key)!.materialize()).toFloat32();
      const dense = copy.tensors.get(key.slice('dequant/'.length))!;
      expect(dense.dtype).toBe('BF16');
      const found = (await dense.materialize()).toFloat32();
      expect(found.length).toBe(expected.length);
      expect(
        found.every((value, i) => Math.abs(value - expected[i]!) <= ROUNDING * Math.abs(expected[i]!) + 1e-9),
      ).toBe(true);
    }
  },
);
