import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ComputeDType, Executor } from '../executor';
import type { Graph } from '../graph/graph';
import { ReferenceExecutor } from '../reference/reference-executor';
import type { TestDType } from '../testing/encode';
import { attentionCases } from './attention-cases';
import { type BlockCase, blockCases } from './block-cases';
import { type Case, type Given, WEIGHT_DTYPES } from './case';
import { expectSameBytes, rowError } from './compare';
import { elementwiseCases } from './elementwise-cases';
import { embedCases } from './embed-cases';
import { expertCases } from './experts-cases';
import { linearCases } from './linear-cases';
import { normCases } from './norm-cases';
import { packedEmbedCases, packedLinearCases } from './packed-cases';
import { ropeCases } from './rope-cases';
import { PreparedCase, type RunOptions } from './run-case';

/** A case an executor does not pass, and why that is right. */
export interface Exception {
  /** Start of the test's name. */
  readonly name: string;
  readonly reason: string;
}

const OPS: Readonly<Record<string, readonly Case[]>> = {
  embed: embedCases,
  norm: normCases,
  linear: linearCases,
  rope: ropeCases,
  attention: attentionCases,
  elementwise: elementwiseCases,
  experts: expertCases,
  'linear, packed': packedLinearCases,
  'embed, packed': packedEmbedCases,
};

/** Thread counts whose bytes must be equal. */
const THREADS = [1, 3];
const COMPUTE_DTYPES: readonly ComputeDType[] = ['float32', 'bfloat16'];
/** Rounding of some ten ops in a row. Under bfloat16 a last bit more or less can decide how an activation is rounded. */
const LAYER_TOLERANCE = { float32: 2e-5, bfloat16: 2e-2 };

/** Where an executor is held less strictly than in the cases, which were written for float64 sums and fixed orders. */
export interface Limits {
  /** Least tolerance of an op, over the case's own. @defaultValue 0 */
  readonly op?: number;
  /** Of a layer. @defaultValue 2e-5, and 2e-2 where something is rounded to bf16 or int8 */
  readonly layer?: number;
  /**
   * Most that a row may differ between passes, threads and cuts, for an executor whose kernels are chosen by shape.
   * @defaultValue not by a byte
   */
  readonly passes?: number;
  /** Whether a test of this name is run, of a case of so many rows. @defaultValue all */
  readonly takes?: (title: string, rows: number) => boolean;
  /** Only runs on the device are compared with the first one, not those cut otherwise from host memory. */
  readonly onlyDevice?: boolean;
  /** Whether it is also run with weights that were brought to the device for good. @defaultValue none */
  readonly stays?: (title: string) => boolean;
  /** Thread counts. @defaultValue 1 and 3 */
  readonly threads?: readonly number[];
}

/**
 * What every executor must do: each op within a tolerance of a formula written down independently, whole layers within
 * a tolerance of the reference executor, and all of it with bytes that depend neither on how rows are put into passes,
 * nor on threads, nor on where a block is cut.
 */
export function executorConformance(
  name: string,
  makeExecutor: (options: { threads: number; computeDtype: ComputeDType }) => Promise<Executor>,
  exceptions: readonly Exception[] = [],
  computeDtypes: readonly ComputeDType[] = COMPUTE_DTYPES,
  limits: Limits = {},
): void {
  for (const computeDtype of computeDtypes) {
    const make = (threads: number) => makeExecutor({ threads, computeDtype });
    conformanceOf(`executor ${name}, ${computeDtype}`, computeDtype, make, exceptions, limits);
  }
}

function conformanceOf(
  name: string,
  computeDtype: ComputeDType,
  makeExecutor: (threads: number) => Promise<Executor>,
  exceptions: readonly Exception[],
  limits: Limits,
): void {
  const { takes = () => true, threads: counts = THREADS } = limits;
  describe(name, () => {
    const executors: Executor[] = [];
    const first = () => executors[0]!;
    const test = (title: string, run: () => Promise<void>) => {
      const exception = exceptions.find((other) => title.startsWith(other.name));
      if (exception === undefined) it(title, run);
      else it.skip(`${title} (exception: ${exception.reason})`, run);
    };

    beforeAll(async () => {
      for (const threads of counts) executors.push(await makeExecutor(threads));
    });
    afterAll(async () => {
      for (const executor of executors) await executor.dispose();
    });

    for (const [op, all] of Object.entries(OPS)) {
      const cases = all.filter((each) => computeDtype === 'float32' || each.bfloat16Tolerance !== undefined);
      if (cases.length === 0) continue;
      describe(op, () => {
        for (const each of cases) {
          for (const dtype of each.dtypes ?? (['F32'] as const)) {
            // That other formats stay float32 is seen at a linear by itself.
            if (computeDtype === 'bfloat16' && dtype !== 'BF16' && op !== 'linear' && !each.packed) continue;
            const title = each.packed ? each.name : `${each.name}, ${dtype}`;
            if (!takes(title, each.rows.count)) continue;
            test(title, () =>
              withCase(new PreparedCase(each, dtype), async (prepared) => {
                const whole = await prepared.run(first(), { cut: 'whole', chunk: each.rows.count });
                expect(first().info.computeDtype).toBe(computeDtype);
                const tolerance = usesBf16(computeDtype, dtype, each) ? each.bfloat16Tolerance! : each.tolerance;
                const most = Math.max(tolerance, limits.op ?? 0);
                expectFormula(each, prepared.given(computeDtype), most, whole);
                await expectInvariant(prepared, executors, whole, each.rows.count, limits, limits.stays?.(title));
              }),
            );
          }
        }
      });
    }

    describe('layers', () => {
      for (const each of blockCases) {
        for (const dtype of computeDtype === 'bfloat16' ? (['BF16'] as const) : WEIGHT_DTYPES) {
          const title = `${each.name}, ${dtype}`;
          if (!takes(title, each.rows.count)) continue;
          test(title, () =>
            withCase(new PreparedCase(each, dtype), async (prepared) => {
              const whole = await prepared.run(first(), { cut: 'whole', chunk: each.rows.count });
              await expectReference(each, prepared, computeDtype, whole, limits.layer);
              await expectInvariant(prepared, executors, whole, each.rows.count, limits, limits.stays?.(title));
            }),
          );
        }
      }
    });
  });
}

async function withCase(prepared: PreparedCase, run: (prepared: PreparedCase) => Promise<void>): Promise<void> {
  try {
    await run(prepared);
  } finally {
    prepared.dispose();
  }
}

/** Whether activations are rounded, which those that meet other formats never are. */
function usesBf16(computeDtype: ComputeDType, dtype: TestDType, { packed }: Case): boolean {
  return computeDtype === 'bfloat16' && (dtype === 'BF16' || packed !== undefined);
}

function expectFormula(each: Case, given: Given, tolerance: number, found: Float32Array): void {
  const expected = each.expected(given);
  const width = found.length / each.rows.count;
  for (const r of each.checkedRows ?? Array.from({ length: each.rows.count }, (_, n) => n)) {
    const row = expected(r);
    expect(row.length).toBe(width);
    expect(rowError(found.subarray(r * width, (r + 1) * width), row), `row ${r}`).toBeLessThanOrEqual(tolerance);
  }
}

async function expectReference(
  each: BlockCase,
  prepared: PreparedCase,
  computeDtype: ComputeDType,
  found: Float32Array,
  least = 0,
): Promise<void> {
  const reference = new ReferenceExecutor({ computeDtype });
  const expected = await prepared.run(reference, { cut: 'whole', chunk: each.rows.count });
  // As activations that are rounded, so keys and values.
  const rounds = each.kvCacheDtype !== undefined && each.kvCacheDtype !== 'float32';
  const tolerance = Math.max(least, LAYER_TOLERANCE[rounds ? 'bfloat16' : computeDtype]);
  expect(rowError(found, expected)).toBeLessThanOrEqual(tolerance);
  await reference.dispose();
}

/** The same bytes in other passes, cut elsewhere, on other numbers of threads. */
async function expectInvariant(
  prepared: PreparedCase,
  executors: readonly Executor[],
  whole: Float32Array,
  count: number,
  { passes: tolerance, onlyDevice }: Limits,
  stays = false,
): Promise<void> {
  const [first, ...others] = executors;
  const runs: { readonly executor: Executor; readonly options: RunOptions }[] = [
    ...(onlyDevice ? [] : otherRuns(prepared.block.graph, count)).map((options) => ({ executor: first!, options })),
    ...(first?.device === undefined ? [] : deviceRuns(count, stays).map((options) => ({ executor: first, options }))),
    ...others.flatMap((executor) => [
      { executor, options: { cut: 'whole', chunk: count } as const },
      { executor, options: { cut: 'slices', chunk: Math.ceil(count / 3) } as const },
    ]),
  ];
  for (const { executor, options } of runs) {
    const found = await prepared.run(executor, options);
    const { threads } = executor.info;
    const where = options.onDevice ? `, on the device${options.onDevice === 'stays' ? ' for good' : ''}` : '';
    const what = `cut ${options.cut}, ${options.chunk} rows a pass, ${threads} threads${where}`;
    if (tolerance === undefined) expectSameBytes(found, whole, what);
    else expect(rowError(found, whole), what).toBeLessThanOrEqual(tolerance);
  }
}

/** Where an executor has memory of its own: everything there. */
function deviceRuns(count: number, stays: boolean): RunOptions[] {
  return [
    { cut: 'whole', chunk: count, onDevice: true },
    { cut: 'slices', chunk: Math.ceil(count / 3), onDevice: true },
    ...(stays ? ([{ cut: 'whole', chunk: Math.ceil(count / 2), onDevice: 'stays' }] as const) : []),
    ...(stays ? ([{ cut: 'slices', chunk: count, onDevice: 'stays' }] as const) : []),
  ];
}

function otherRuns(graph: Graph, count: number): RunOptions[] {
  // A row at a time is slow for long sequences, where 97 meets no border of blocks or partials.
  const runs: RunOptions[] = count > 1 ? [{ cut: 'whole', chunk: count > 150 ? 97 : 1 }] : [];
  if (count > 7 && count <= 150) runs.push({ cut: 'slices', chunk: 7 });
  // A graph of one op has no other cut than slices of a linear, or of an expert.
  if (graph.ops.length > 1) runs.push({ cut: 'ops', chunk: count });
  if (graph.ops.some((op) => op.op === 'linear' || op.op === 'expert')) runs.push({ cut: 'slices', chunk: count });
  return runs;
}
