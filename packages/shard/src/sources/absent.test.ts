import { copyFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { AbsentFiles } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { sharedFolder } from '../testing/shared';
import { temporaryFolder } from '../testing/temporary';
import { bool, floats, ints, str, strings, writeGguf } from '../testing/write-gguf';
import { openSource } from './open-source';
import { storedParts } from './resolve-tensors';
import type { ModelSource } from './source';

interface Elsewhere {
  /** A folder that has what is not a file with weights. */
  readonly described: string;
  readonly absent: AbsentFiles;
  readonly requests: { readonly file: string; readonly length: number }[];
}

function elsewhere(whole: string): Elsewhere {
  const described = temporaryFolder();
  const sizes = new Map<string, number>();
  for (const file of readdirSync(whole)) {
    if (/\.(safetensors|bin|gguf)$/.test(file)) sizes.set(file, statSync(path.join(whole, file)).size);
    else copyFileSync(path.join(whole, file), path.join(described, file));
  }
  const requests: Elsewhere['requests'] = [];
  const read: AbsentFiles['read'] = async (file, offset, length) => {
    requests.push({ file, length });
    // As a network library does: a Buffer, somewhere in a larger one.
    const content = readFileSync(path.join(whole, file));
    return Buffer.concat([Buffer.from('GET '), content.subarray(offset, offset + length)]).subarray(4);
  };
  return { described, absent: { sizes, read }, requests };
}

const places = (source: ModelSource) =>
  [...source.tensors].map(([tensor, found]) => [
    tensor,
    found.shape,
    storedParts(found).map(({ dtype, extent }) => [dtype, extent?.offset, extent?.length]),
  ]);

const golden = sharedFolder('golden-quant');
const CASES = ['bnb-nf4', 'gptq-4bit', 'ct-pack4', 'hqq-4bit', 'mlx-4bit', 'torchao-int4', 'gguf', 'bin'];

describe.skipIf(golden === undefined)('weights that are elsewhere', () => {
  const found = golden === undefined ? [] : readdirSync(golden).filter((name) => CASES.some((c) => name.startsWith(c)));
  test.each(found)('%s is described as if it were here, from headers and tables', async (name) => {
    const whole = path.join(golden!, name);
    const { described, absent } = elsewhere(whole);
    const [here, there] = [await openSource(whole), await openSource(described, { absent })];
    expect(there.kind).toBe(here.kind);
    expect(there.quantisation).toBe(here.quantisation);
    expect(there.config).toEqual(here.config);
    expect(there.extras).toEqual(here.extras);
    expect(places(there)).toEqual(places(here));
  });
});

test('of a large GGUF file only its header is read, in few requests, and once', async () => {
  const whole = temporaryFolder();
  const count = 100_000;
  const words = Array.from({ length: count }, (_, i) => `word-number-${i}`);
  writeGguf(path.join(whole, 'model.gguf'), {
    metadata: {
      'general.architecture': str('none'),
      'tokenizer.ggml.model': str('llama'),
      'tokenizer.ggml.tokens': strings(words),
      'tokenizer.ggml.scores': floats(new Array(count).fill(0)),
      'tokenizer.ggml.token_type': ints(new Array(count).fill(1)),
      'tokenizer.ggml.add_bos_token': bool(false),
    },
    tensors: [{ name: 'w', type: 0, dimensions: [2 ** 20, 4], bytes: new Uint8Array(2 ** 24) }],
  });
  const { described, absent, requests } = elsewhere(whole);
  const source = await openSource(path.join(described, 'model.gguf'), { absent });
  expect(source.tensors.get('w')?.shape).toEqual([4, 2 ** 20]);
  expect(source.extras.get('tokenizer.json')).toContain('word-number-99999');
  const bytes = requests.reduce((sum, { length }) => sum + length, 0);
  expect(bytes).toBeLessThan(2 * count * 35);
  expect(requests.length).toBeLessThan(12);
});

describe.skipIf(golden === undefined)('a checkpoint of PyTorch', () => {
  test('takes a few requests, not one for each of its tensors', async () => {
    const { described, absent, requests } = elsewhere(path.join(golden!, 'bin-single'));
    const { tensors } = await openSource(described, { absent });
    expect(tensors.size).toBeGreaterThan(15);
    expect(requests.length).toBeLessThan(5);
  });
});
