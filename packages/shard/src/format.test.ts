import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { PackedTensor } from '@airllm/kernels';
import { beforeAll, describe, expect, test } from 'vitest';
import { openSource } from './sources/open-source';
import { splitCheckpoint } from './split';
import { decodeSourceTensor } from './testing/decode-source-tensor';
import { sharedFolder } from './testing/shared';
import { temporaryFolder } from './testing/temporary';

const text = readFileSync(new URL('../FORMAT.md', import.meta.url), 'utf8');
const expected = (JSON.parse(/```\n(\[\[[\s\S]*?\]\])\n```/.exec(text)![1]!) as number[][]).flat();

/** The file that the example describes. */
function example(): string {
  const header = Buffer.from(/```json\n([\s\S]*?)```/.exec(text)![1]!);
  const hex = [...text.matchAll(/(?:codes|scales) `([\da-f ]+)`/g)].map(([, bytes]) => bytes!.replaceAll(' ', ''));
  const [codes, scales] = hex.map((bytes) => Buffer.from(bytes, 'hex'));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = path.join(temporaryFolder(), 'model.safetensors');
  writeFileSync(file, Buffer.concat([length, header, codes!, Buffer.alloc(60), scales!]));
  return file;
}

test('the example of FORMAT.md is a file, and its matrix is what it says', async () => {
  const { tensors } = await openSource(example());
  expect([...tensors.keys()]).toEqual(['layers.0.up.weight']);
  expect([...(await decodeSourceTensor(tensors.get('layers.0.up.weight')!, []))]).toEqual(expected);
});

const python = spawnSync('python3', ['--version']).status === 0;

describe.skipIf(!python)('the reader of FORMAT.md (needs python3)', () => {
  let script: string;
  beforeAll(() => {
    script = /```python\n([\s\S]*?)```/.exec(text)![1]!;
  });
  const read = (file: string) =>
    execFileSync('python3', ['-c', script, file], { encoding: 'utf8', maxBuffer: 1 << 28 })
      .trim()
      .split('\n')
      .map((line) => {
        const at = line.indexOf(' ');
        return [line.slice(0, at), (JSON.parse(line.slice(at)) as number[][]).flat()] as const;
      });

  test('reads the example', () => {
    expect(read(example())).toEqual([['layers.0.up.weight', expected]]);
  });

  const golden = sharedFolder('golden-quant');
  test.skipIf(golden === undefined).each(['bnb-nf4-straddle', 'fp8-block-ragged', 'gguf-q4_k', 'gguf-q6_k'])(
    'reads a layer of %s, bit for bit',
    async (name) => {
      const out = path.join(temporaryFolder(), 'out');
      await splitCheckpoint(path.join(golden!, name), out);
      const layer = (await readdir(out)).find((file) => file.includes('layers.00'))!;
      const { tensors } = await openSource(path.join(out, layer));
      const packed = [...tensors.values()].filter(PackedTensor.isInstance).filter(({ shape }) => shape[0]! <= 128);
      const found = new Map(read(path.join(out, layer)));
      expect(packed.length).toBeGreaterThan(1);
      for (const tensor of packed) {
        const numbers = Buffer.from(Float32Array.from(found.get(tensor.name)!).buffer);
        const ours = Buffer.from((await decodeSourceTensor(tensor, [])).buffer);
        expect(ours.equals(numbers), tensor.name).toBe(true);
      }
    },
  );
});
