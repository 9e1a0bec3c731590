import { HostBuffer, MetaTensor } from '@airllm/loader';
import { afterAll, describe, expect, it } from 'vitest';
import { GraphBuilder } from '../graph/builder';
import { type CodeKind, codeBits } from '../packed/format';
import { E4M3 } from '../packed/numbers';
import { PackedTensor } from '../packed/packed-tensor';
import { distinctKernels } from '../testing/distinct-kernels';
import { prompt } from '../testing/rows';
import { NativeExecutor } from './native-executor';

const TABLE = Float32Array.from({ length: 16 }, (_, i) => 0.1 * i - 0.7);
const BYTES = Uint8Array.from({ length: 256 }, (_, i) => i);
const NIBBLES = [...BYTES].flatMap((byte) => [byte & 15, byte >> 4]);

/** What every byte stands for, low half first. */
const NUMBERS: Readonly<Record<CodeKind, ArrayLike<number>>> = {
  u4: NIBBLES,
  table4: NIBBLES.map((nibble) => TABLE[nibble]!),
  u8: BYTES,
  i8: new Int8Array(BYTES.buffer),
  e4m3: E4M3,
};

/** A table of one row whose codes are all bytes, one after the other. */
function everyCode(code: CodeKind): PackedTensor {
  const width = 2048 / codeBits(code);
  const part = (name: string, dtype: 'U8' | 'I8' | 'F8_E4M3' | 'F32', shape: number[]) =>
    new MetaTensor({ name, dtype, shape });
  return new PackedTensor({
    name: 'table.weight',
    shape: [1, width],
    format: {
      code,
      ...(codeBits(code) === 4 ? { nibbles: 'low' } : {}),
      block: { rows: 1, columns: width },
      scale: { dtype: 'F32' },
    },
    components: {
      codes: part('codes', code === 'i8' ? 'I8' : code === 'e4m3' ? 'F8_E4M3' : 'U8', [1, 256]),
      scales: part('scales', 'F32', [1, 1]),
      ...(code === 'table4' ? { constants: part('constants', 'F32', [16]) } : {}),
    },
  });
}

async function decode(executor: NativeExecutor, code: CodeKind): Promise<Float32Array> {
  const table = everyCode(code);
  const b = new GraphBuilder(() => table);
  b.output('y', b.embed('table', 1, table.shape[1]!));
  const { graph, weights } = b.build('codes');
  const memory = HostBuffer.allocate(256 + 4 + 64);
  memory.bytes(0, 256).set(BYTES);
  memory.float32(256, 1).set([1]);
  memory.float32(260, 16).set(TABLE);
  const at = { codes: 0, scales: 256, constants: 260 };
  const program = executor.compile(graph);
  const y = HostBuffer.allocate(4 * table.shape[1]!);
  const workspace = HostBuffer.allocate(program.workspaceBytes(1));
  try {
    await program.run({
      part: { from: 0, to: 1 },
      rows: prompt(1),
      weights: weights.map(({ name }) => ({ buffer: memory, offset: at[name as keyof typeof at] })),
      states: [],
      carry: new Map([['y', y]]),
      workspace,
      maxRows: 1,
    });
    return y.float32(0, table.shape[1]!).slice();
  } finally {
    for (const buffer of [memory, y, workspace]) buffer.dispose();
  }
}

/** Sums of matrices of ones, one of them with a NaN at [row, column]. */
async function sums(executor: NativeExecutor, rows: number, row: number, column: number): Promise<Float32Array> {
  const [inputs, outputs] = [300, 13];
  const one = 0x38;
  const tensor = new PackedTensor({
    name: 'w.weight',
    shape: [outputs, inputs],
    format: { code: 'e4m3', block: { rows: outputs, columns: inputs }, scale: { dtype: 'F32' } },
    components: {
      codes: new MetaTensor({ name: 'codes', dtype: 'F8_E4M3', shape: [outputs, inputs] }),
      scales: new MetaTensor({ name: 'scales', dtype: 'F32', shape: [1] }),
    },
  });
  const b = new GraphBuilder(() => tensor);
  b.output('y', b.linear(b.input('x', inputs), 'w', outputs));
  const { graph } = b.build('sums');
  const [codes, scales] = [HostBuffer.allocate(outputs * inputs), HostBuffer.allocate(4)];
  codes.bytes().fill(one);
  codes.bytes()[row * inputs + column] = 0x7f;
  scales.float32(0, 1).set([1]);
  const [x, y] = [HostBuffer.allocate(4 * rows * inputs), HostBuffer.allocate(4 * rows * outputs)];
  x.float32(0, rows * inputs).fill(1);
  const program = executor.compile(graph);
  const workspace = HostBuffer.allocate(program.workspaceBytes(rows));
  const carry = new Map([
    ['x', x],
    ['y', y],
  ]);
  const weights = [codes, scales].map((buffer) => ({ buffer, offset: 0 }));
  await program.run({
    part: { from: 0, to: 1 },
    rows: prompt(rows),
    weights,
    states: [],
    carry,
    workspace,
    maxRows: rows,
  });
  const found = y.float32(0, rows * outputs).slice();
  for (const buffer of [codes, scales, x, y, workspace]) buffer.dispose();
  return found;
}

for (const { isa } of distinctKernels()) {
  describe(`codes on ${isa}`, () => {
    const executor = NativeExecutor.open({ isa, threads: 1 });
    afterAll(() => executor.dispose());

    it.each(Object.keys(NUMBERS) as CodeKind[])('%s: every one is its number, NaN too', async (code) => {
      expect(await decode(executor, code)).toEqual(Float32Array.from(NUMBERS[code]));
    });

    // The first line of a row, a later one, the end of a row that fills no vector; few rows and many.
    it.each([
      [1, 5, 3],
      [1, 0, 130],
      [2, 12, 299],
      [9, 7, 64],
    ])('%i rows: a NaN in row %i, column %i', async (...at) => {
      const expected = new Float32Array(13 * at[0]).map((_, i) => (i % 13 === at[1] ? Number.NaN : 300));
      for (const computeDtype of ['float32', 'bfloat16'] as const) {
        const own = NativeExecutor.open({ isa, threads: 1, computeDtype });
        expect(await sums(own, ...at)).toEqual(expected);
        await own.dispose();
      }
    });
  });
}
