import { type Executor, GraphBuilder, type PassRows, type Program } from '@airllm/kernels';
import { HostBuffer, MetaTensor } from '@airllm/loader';

export const MEASURED_DTYPES = ['BF16', 'F16', 'F32'] as const;
export type MeasuredDType = (typeof MEASURED_DTYPES)[number];

/** What an executor does with weights of one dtype. */
export interface ComputeSpeed {
  readonly dtype: MeasuredDType;
  /** Bytes of weights that products with one row go through: decoding, with weights in memory. */
  readonly dramBytesPerSecond: number;
  /** Operations of products with many rows, a multiplication and an addition counting as two: prefill. */
  readonly flopsPerSecond: number;
}

/** What running a part costs beside its bytes and operations, in seconds. */
export interface StepCosts {
  readonly callSeconds: number;
  readonly opSeconds: number;
}

export interface ComputeOptions {
  readonly dtypes: readonly MeasuredDType[];
  /** Most memory to go through. @defaultValue 512 MiB; must hold more than the caches to measure DRAM */
  readonly weightBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const MIB = 2 ** 20;
const WEIGHT_BYTES = 512 * MIB;
/** Bytes of one matrix: as large as the plan's segments. */
const MATRIX_BYTES = 64 * MIB;
const INPUTS = 4096;
const MOST_ROWS = 256;
const BUDGET_MS = 600;
const SMALL_WIDTH = 64;
const CHAIN = 64;
const SMALL_RUNS = 200;
/** 0.0115 as float32 and bfloat16, 1.06 as float16: nothing whose arithmetic is slow. */
const WEIGHT_BYTE = 0x3c;

/** Runs products on made-up weights, for a second or so per dtype. Throws the signal's reason. */
export async function measureCompute(
  executor: Executor,
  options: ComputeOptions,
): Promise<{ speeds: ComputeSpeed[]; steps: StepCosts }> {
  const { signal } = options;
  signal?.throwIfAborted();
  const matrices = Math.max(1, Math.floor((options.weightBytes ?? WEIGHT_BYTES) / MATRIX_BYTES));
  using weights = HostBuffer.allocate(matrices * MATRIX_BYTES, { label: 'weights to measure with' });
  // Pages that were never written to are all one and the same.
  for (let i = 0; i < matrices; i++) weights.bytes(i * MATRIX_BYTES, MATRIX_BYTES).fill(WEIGHT_BYTE);
  const steps = await measureSteps(executor, weights, signal);
  const speeds: ComputeSpeed[] = [];
  for (const dtype of options.dtypes) speeds.push(await measureDType(executor, dtype, weights, steps, signal));
  return { speeds, steps };
}

async function measureDType(
  executor: Executor,
  dtype: MeasuredDType,
  weights: HostBuffer,
  { callSeconds, opSeconds }: StepCosts,
  signal: AbortSignal | undefined,
): Promise<ComputeSpeed> {
  const outputs = MATRIX_BYTES / INPUTS / (dtype === 'F32' ? 4 : 2);
  using product = new Chain(executor, dtype, { widths: [INPUTS, outputs], maxRows: MOST_ROWS });
  const matrices = weights.byteLength / MATRIX_BYTES;
  let at = 0;
  const run = (rows: number) => product.run(rows, weights, (at++ % matrices) * MATRIX_BYTES);
  const decode = await meanSeconds(() => run(1), BUDGET_MS, signal);
  const rows = prefillRows(decode);
  const prefill = await meanSeconds(() => run(rows), BUDGET_MS, signal);
  return {
    dtype,
    dramBytesPerSecond: MATRIX_BYTES / without(decode, callSeconds + opSeconds),
    flopsPerSecond: (2 * rows * INPUTS * outputs) / without(prefill, callSeconds + opSeconds),
  };
}

/** What a run took less what every run costs, which is counted apart; as measured where noise makes that most of it. */
function without(seconds: number, step: number): number {
  return step < seconds / 2 ? seconds - step : seconds;
}

/** As many as show what arithmetic can do, but no more than a slow executor gets done. */
function prefillRows(secondsOfOne: number): number {
  const affordable = BUDGET_MS / 1000 / secondsOfOne;
  return Math.max(1, Math.min(MOST_ROWS, 2 ** Math.floor(Math.log2(Math.max(1, affordable)))));
}

async function measureSteps(
  executor: Executor,
  weights: HostBuffer,
  signal: AbortSignal | undefined,
): Promise<StepCosts> {
  using chain = new Chain(executor, 'F32', { widths: new Array(CHAIN + 1).fill(SMALL_WIDTH), maxRows: 1 });
  const one = await meanSeconds(() => chain.run(1, weights, 0, 1), BUDGET_MS / 4, signal, SMALL_RUNS);
  const all = await meanSeconds(() => chain.run(1, weights, 0), BUDGET_MS / 4, signal, SMALL_RUNS);
  const opSeconds = Math.max(0, (all - one) / (CHAIN - 1));
  return { callSeconds: Math.max(0, one - opSeconds), opSeconds };
}

/**
 * Seconds of a run, by all that fit a time after one that warms up. The mean: a pass is a sum of such runs, and pays for
 * what else goes on on the machine.
 */
async function meanSeconds(
  run: () => Promise<void>,
  ms: number,
  signal: AbortSignal | undefined,
  most = Number.POSITIVE_INFINITY,
): Promise<number> {
  await run();
  const begin = performance.now();
  let runs = 0;
  do {
    signal?.throwIfAborted();
    await run();
    runs++;
  } while (runs < most && performance.now() - begin < ms);
  return (performance.now() - begin) / 1000 / runs;
}

/** Products one after the other, from `widths[0]` inputs to the last width. */
class Chain {
  readonly #program: Program;
  readonly #workspace: HostBuffer;
  readonly #carry: ReadonlyMap<string, HostBuffer>;
  readonly #maxRows: number;

  constructor(executor: Executor, dtype: MeasuredDType, options: { widths: readonly number[]; maxRows: number }) {
    const { widths, maxRows } = options;
    const b = new GraphBuilder((name, shape) => new MetaTensor({ name, dtype, shape }));
    let value = b.input('hidden', widths[0]!);
    widths.slice(1).forEach((width, i) => {
      value = b.linear(value, `linear${i}`, width);
    });
    b.output('result', value);
    this.#program = executor.compile(b.build('measured').graph);
    this.#maxRows = maxRows;
    this.#workspace = HostBuffer.allocate(Math.max(64, this.#program.workspaceBytes(maxRows)));
    const floats = (width: number) => HostBuffer.allocate(4 * maxRows * width);
    this.#carry = new Map([
      ['hidden', floats(widths[0]!)],
      ['result', floats(widths.at(-1)!)],
    ]);
    this.#carry
      .get('hidden')!
      .float32(0, maxRows * widths[0]!)
      .fill(0.5);
  }

  /** Runs the first `ops` products (all of them, by default), each with the weights that start at `offset`. */
  async run(count: number, buffer: HostBuffer, offset: number, ops?: number): Promise<void> {
    const { graph } = this.#program;
    await this.#program.run({
      part: { from: 0, to: ops ?? graph.ops.length },
      rows: rowsOf(count),
      weights: graph.weights.map(() => ({ buffer, offset })),
      states: [],
      carry: this.#carry,
      workspace: this.#workspace,
      maxRows: this.#maxRows,
    });
  }

  [Symbol.dispose](): void {
    this.#workspace.dispose();
    for (const buffer of this.#carry.values()) buffer.dispose();
  }
}

function rowsOf(count: number): PassRows {
  return {
    count,
    sequence: new Int32Array(count),
    position: Int32Array.from({ length: count }, (_, i) => i),
    visibleFrom: new Int32Array(count),
    ropeLength: new Int32Array(count).fill(count),
  };
}
