import { copyFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { sharedFolder } from '../testing/shared';
import { temporaryFolder } from '../testing/temporary';
import { openSource } from './open-source';
import { storedParts } from './resolve-tensors';

const golden = sharedFolder('golden-quant');
const CASES = ['bnb-nf4', 'gptq-4bit', 'ct-pack4', 'hqq-4bit', 'mlx-4bit', 'torchao-int4'];

describe.skipIf(golden === undefined)('quantised weights that are elsewhere', () => {
  const found = golden === undefined ? [] : readdirSync(golden).filter((name) => CASES.some((c) => name.startsWith(c)));
  test.each(found)('%s is described as if it were here, from headers and tables', async (name) => {
    const whole = path.join(golden!, name);
    const described = temporaryFolder();
    const sizes = new Map<string, number>();
    for (const file of readdirSync(whole)) {
      if (file.endsWith('.safetensors')) sizes.set(file, statSync(path.join(whole, file)).size);
      else copyFileSync(path.join(whole, file), path.join(described, file));
    }
    const absent = {
      sizes,
      read: async (file: string, offset: number, length: number) =>
        new Uint8Array(readFileSync(path.join(whole, file)).subarray(offset, offset + length)),
    };
    const [here, elsewhere] = [await openSource(whole), await openSource(described, { absent })];
    expect(elsewhere.quantisation).toBe(here.quantisation);
    const places = (source: typeof here) =>
      [...source.tensors].map(([tensor, found]) => [
        tensor,
        found.shape,
        storedParts(found).map(({ dtype, extent }) => [dtype, extent?.offset, extent?.length]),
      ]);
    expect(places(elsewhere)).toEqual(places(here));
  });
});
