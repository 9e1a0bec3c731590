import { afterAll, beforeAll, describe, it } from 'vitest';
import { WEIGHT_DTYPES } from '../conformance/case';
import { expectSameBytes } from '../conformance/compare';
import { fitted, packedExamples } from '../conformance/packed-formats';
import { PreparedCase, type Recorded, type RunOptions } from '../conformance/run-case';
import type { ComputeDType } from '../executor';
import { distinctKernels } from '../testing/distinct-kernels';
import { passRows, prompt } from '../testing/rows';
import { NativeExecutor } from './native-executor';

// The conformance suite asks for invariance at small shapes. These cross every border that the native kernels have:
// blocks of 96 rows, 128 outputs and 1024 or 2048 inputs, tiles of 2, 3, 6 and 16 rows, panels of them, partials of
// attention shared by threads.

const THREADS = [1, 2, 3, 8];

function linear(layout: 'out,in' | 'in,out', inputs: number, outputs: number, rows: number): Recorded {
  return {
    rows: prompt(rows),
    record: (b) => b.output('y', b.linear(b.input('x', inputs), 'w', outputs, { layout, bias: true })),
  };
}

/** One of each way in which kernels read codes and the numbers of their blocks. */
const PACKED = ['Q4_1', 'GPTQ', 'bitsandbytes NF4, nested', 'Q6_K', 'FP8 blocks'];

function packedLinear(format: string, inputs: number, outputs: number, rows: number): Recorded {
  const example = packedExamples.find(({ name }) => name === format)!;
  return { ...linear('out,in', inputs, outputs, rows), packed: fitted(example, [outputs, inputs]) };
}

/** Queries of the last rows alone see all the keys: fewer tasks than threads, many partials. */
const longAttention: Recorded = {
  rows: prompt(2100),
  record(b) {
    const [q, k, v] = [b.input('q', 2 * 8), b.input('k', 8), b.input('v', 12)];
    b.output('y', b.attention(q, k, v, { heads: 2, kvHeads: 1, headDim: 8, valueDim: 12, softcap: 30 }));
  },
};

/** More query heads on one key head than a tile holds, and rows of sequences of unequal length side by side. */
const wideGroups: Recorded = {
  rows: passRows([
    ...Array.from({ length: 530 }, (_, position) => ({ position })),
    ...Array.from({ length: 20 }, (_, i) => [
      { sequence: 0, position: 530 + i, visibleFrom: 7 * i },
      { sequence: 1, position: i },
    ]).flat(),
  ]),
  record(b) {
    const [q, k, v] = [b.input('q', 50 * 4), b.input('k', 4), b.input('v', 4)];
    b.output('y', b.attention(q, k, v, { heads: 50, kvHeads: 1, headDim: 4, window: 520 }));
  },
};

for (const { isa, computeDtypes } of distinctKernels()) {
  for (const computeDtype of computeDtypes) invariance(isa, computeDtype);
}

function invariance(isa: string, computeDtype: ComputeDType): void {
  describe(`native ${isa}, ${computeDtype}, gives the same bytes`, () => {
    const executors: NativeExecutor[] = [];
    beforeAll(() => {
      for (const threads of THREADS) executors.push(NativeExecutor.open({ threads, isa, computeDtype }));
    });
    afterAll(async () => {
      for (const executor of executors) await executor.dispose();
    });

    async function expectSame(recorded: Recorded, dtype: (typeof WEIGHT_DTYPES)[number], runs: RunOptions[]) {
      const prepared = new PreparedCase(recorded, dtype);
      try {
        const whole = await prepared.run(executors[0]!, { cut: 'whole', chunk: recorded.rows.count });
        for (const [i, executor] of executors.entries()) {
          // Chunks matter within a thread's work, so the other thread counts need not repeat them all.
          for (const options of i === 0 ? runs : [runs[0]!, ...runs.slice(-2)]) {
            const what = `${executor.info.threads} threads, ${options.chunk} rows a pass, cut ${options.cut}`;
            expectSameBytes(await prepared.run(executor, options), whole, what);
          }
        }
      } finally {
        prepared.dispose();
      }
    }

    const matrixRuns: RunOptions[] = [103, 1, 2, 3, 4, 5, 6, 7, 97].map((chunk) => ({ cut: 'whole', chunk }));
    matrixRuns.push({ cut: 'slices', chunk: 103 }, { cut: 'slices', chunk: 2 });
    for (const layout of ['out,in', 'in,out'] as const) {
      if (computeDtype === 'bfloat16') {
        it(`linear ${layout} deeper than a panel of rows, BF16`, () =>
          expectSame(linear(layout, 40_010, 18, 50), 'BF16', [
            { cut: 'whole', chunk: 50 },
            { cut: 'whole', chunk: 17 },
            { cut: 'whole', chunk: 1 },
            { cut: 'slices', chunk: 50 },
          ]));
        it(`linear ${layout}, BF16`, () => expectSame(linear(layout, 2085, 139, 103), 'BF16', matrixRuns));
        continue;
      }
      for (const dtype of WEIGHT_DTYPES) {
        it(`linear ${layout}, ${dtype}`, () => expectSame(linear(layout, 1037, 139, 103), dtype, matrixRuns));
      }
    }

    for (const format of PACKED) {
      const runs = matrixRuns.filter(({ chunk }) => chunk !== 3 && chunk !== 5 && chunk !== 97);
      it(`linear, ${format}`, () => expectSame(packedLinear(format, 2086, 139, 103), 'F32', runs));
    }

    if (computeDtype === 'bfloat16') return;

    for (const kvCacheDtype of ['float32', 'bfloat16', 'int8'] as const) {
      it(`attention with few queries and many keys, kept in ${kvCacheDtype}`, () =>
        expectSame({ ...longAttention, kvCacheDtype }, 'F32', [
          { cut: 'whole', chunk: 2100 },
          { cut: 'whole', chunk: 1049 },
          { cut: 'whole', chunk: 10 },
        ]));
    }

    it('attention with wide groups, mixed sequences and windows', () =>
      expectSame(wideGroups, 'F32', [
        { cut: 'whole', chunk: 570 },
        { cut: 'whole', chunk: 64 },
        { cut: 'whole', chunk: 3 },
      ]));
  });
}
