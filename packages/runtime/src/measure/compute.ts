import type { Executor } from '@airllm/kernels';
import { HostBuffer } from '@airllm/loader';
import {
  BUDGET_MS,
  Chain,
  INPUTS,
  MATRIX_BYTES,
  type MeasuredDType,
  MOST_ROWS,
  prefillRows,
  WEIGHT_BYTE,
} from './chain';
import { meanSeconds, without } from './mean-seconds';

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
const SMALL_WIDTH = 64;
const CHAIN = 64;
const SMALL_RUNS = 200;

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
