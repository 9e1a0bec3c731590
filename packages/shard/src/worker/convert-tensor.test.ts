import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import type { PackedFormat } from '@airllm/kernels';
import { expect, test } from 'vitest';
import { strided } from '../sources/codecs/strided';
import { conversionParts } from '../sources/convert';
import type { Codec, ConversionOutput } from '../sources/source';
import { noise } from '../testing/checkpoints';
import { temporaryFolder } from '../testing/temporary';
import { convertTensor } from './convert-tensor';
import { OutputFile } from './output-file';
import { type ConvertPiece, JobFailure } from './protocol';
import { TensorWriter } from './tensor-writer';
import { Workspace } from './workspace';

const FORMAT: PackedFormat = {
  code: 'u8',
  block: { rows: 1, columns: 2 },
  scale: { dtype: 'F32' },
  zero: { dtype: 'U8' },
  columns: true,
};

interface Job {
  readonly piece: ConvertPiece;
  readonly file: string;
}

/** Parts begin at multiples of 64, as in a layer file. */
function job(shape: number[], output: ConversionOutput, inputs: Record<string, Uint8Array>, more = {}): Job {
  const dir = temporaryFolder();
  let at = 0;
  const parts = conversionParts({ shape, output }).map((part) => {
    const begin = Math.ceil(at / 64) * 64;
    at = begin + part.bytes;
    return { ...part, to: part.dtype, at: begin };
  });
  const file = path.join(dir, 'source');
  const fd = openSync(file, 'w');
  let offset = 0;
  const sources = Object.entries(inputs).map(([name, bytes]) => {
    writeSync(fd, bytes);
    offset += bytes.length;
    return [name, { file, offset: offset - bytes.length, length: bytes.length }];
  });
  closeSync(fd);
  const piece = { kind: 'convert', name: 'm.weight', file, codec: 'toy', params: null, shape, parts, ...more } as const;
  return { piece: { ...piece, inputs: Object.fromEntries(sources) }, file: path.join(dir, 'out') };
}

function run({ piece, file }: Job, codec: Codec): { hashes: string[]; bytes: Buffer } {
  const workspace = new Workspace({ direct: true, cancel: new SharedArrayBuffer(4) }, () => undefined);
  const output = new OutputFile(file, workspace.out, workspace.direct);
  try {
    const written = convertTensor(piece, [codec], new TensorWriter(output, workspace), workspace);
    const hashes = written.map(({ sha256 }) => sha256);
    output.finish();
    return { hashes, bytes: readFileSync(file) };
  } catch (error) {
    output.discard();
    throw error;
  } finally {
    workspace.reset();
  }
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('components that do not fit into memory take a run of their own; all arrive whole and in their places', () => {
  const [rows, columns] = [6400, 4096];
  const inputs = {
    codes: noise(rows * columns, 1),
    scales: noise(rows * columns * 2, 2),
    zeros: noise((rows * columns) / 2, 3),
    columns: noise(columns * 4, 4),
  };
  const runs: string[] = [];
  const copying: Codec = {
    name: 'toy',
    rowStep: () => 7,
    convertRows: ({ from, to, read, out }) => {
      if (from === 0) runs.push(Object.keys(out).join());
      expect(from % 7).toBe(0);
      for (const [name, bytes] of Object.entries(out)) {
        const rowBytes = inputs[name as keyof typeof inputs].length / rows;
        if (name === 'columns') bytes.set(read(name, 0, bytes.length));
        else bytes.set(read(name, from * rowBytes, (to - from) * rowBytes));
      }
    },
  };
  const todo = job([rows, columns], { format: FORMAT }, inputs);
  const { hashes, bytes } = run(todo, copying);
  expect(runs).toEqual(['codes', 'scales,zeros,columns']);
  expect(hashes).toEqual(Object.values(inputs).map(sha256));
  for (const [i, { at, bytes: length }] of todo.piece.parts.entries()) {
    expect(sha256(bytes.subarray(at, at + length))).toBe(hashes[i]);
  }
});

test('a transposed view larger than any buffer is brought into order', () => {
  const [rows, columns] = [3000, 1700];
  const storage = noise(rows * columns * 2, 9);
  const params = { dtype: 'BF16', strides: [1, rows] };
  const { bytes } = run(job([rows, columns], { dtype: 'BF16' }, { storage }, { codec: 'strided', params }), strided);
  const words = new Uint16Array(storage.buffer);
  const found = new Uint16Array(bytes.buffer, bytes.byteOffset, rows * columns);
  let wrong = 0;
  for (let i = 0; i < found.length; i++) {
    if (found[i] !== words[(i % columns) * rows + Math.floor(i / columns)]) wrong++;
  }
  expect(wrong).toBe(0);
});

test('a dense result changes its dtype on the way', () => {
  const todo = job([2, 3], { dtype: 'F32' }, { x: new Uint8Array(Float32Array.of(1, -2, 3, 0.5, 0, 4).buffer) });
  const parts = [{ ...todo.piece.parts[0]!, to: 'BF16' as const }];
  const copying: Codec = {
    name: 'toy',
    rowStep: () => 1,
    convertRows: ({ from, to, read, out }) => out.dense!.set(read('x', from * 12, (to - from) * 12)),
  };
  const { bytes } = run({ ...todo, piece: { ...todo.piece, parts } }, copying);
  expect([...new Uint16Array(bytes.buffer, bytes.byteOffset, 6)]).toEqual([0x3f80, 0xc000, 0x4040, 0x3f00, 0, 0x4080]);
});

test.each([
  ['throws', 'toy', { kind: 'codec', tensor: 'm.weight', message: 'cannot be converted (toy): block 3 is odd' }],
  ['is not there', 'gone', { kind: 'codec', tensor: 'm.weight' }],
  ['reads too far', 'toy', { kind: 'codec', tensor: 'm.weight' }],
  ['finds its file cut short', 'toy', { kind: 'read', expected: 8, found: 4 }],
])('a codec that %s fails by file and tensor, and nothing stays', (how, codec, expected) => {
  const todo = job([2, 4], { dtype: 'U8' }, { x: new Uint8Array(8) }, { codec });
  const failing: Codec = {
    name: 'toy',
    rowStep: () => 1,
    convertRows: ({ read }) => {
      if (how === 'throws') throw new Error('block 3 is odd');
      read('x', 0, how === 'reads too far' ? 9 : 8);
    },
  };
  if (how.startsWith('finds')) truncateSync(todo.piece.file, 4);
  let failure: unknown;
  try {
    run(todo, failing);
  } catch (error) {
    failure = error;
  }
  expect(failure).toBeInstanceOf(JobFailure);
  expect((failure as JobFailure).failure).toMatchObject({ ...expected, file: todo.piece.file });
  expect(() => readFileSync(todo.file)).toThrow(/ENOENT/);
});

test('inputs that are known already are not read from anywhere', () => {
  const todo = job([1, 4], { dtype: 'U8' }, {});
  const inputs = { x: { bytes: Uint8Array.of(1, 2, 3, 4) } };
  const copying: Codec = {
    name: 'toy',
    rowStep: () => 1,
    convertRows: ({ read, out }) => out.dense!.set(read('x', 0, 4)),
  };
  writeFileSync(todo.piece.file, '');
  expect([...run({ ...todo, piece: { ...todo.piece, inputs } }, copying).bytes]).toEqual([1, 2, 3, 4]);
});
