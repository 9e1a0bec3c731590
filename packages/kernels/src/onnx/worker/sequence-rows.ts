import { Tensor } from 'onnxruntime-node';
import type { AttentionOp } from '../../graph/ops';
import type { Frame } from './frame';

/** Rows of one sequence of a pass, in ascending position. */
export type Rows = readonly number[];

/** The first position that a row sees. */
export function firstVisible({ rows }: Frame, { window }: AttentionOp, r: number): number {
  const start = window === undefined ? 0 : rows.position[r]! - window + 1;
  return Math.max(rows.visibleFrom[r]!, start);
}

/** float32 `[n, 1]` */
export function column(values: readonly number[]): Tensor {
  return new Tensor('float32', Float32Array.from(values), [values.length, 1]);
}

/** Whole numbers, `[n]` or with dimensions after it. */
export function int64(values: readonly number[], rest: readonly number[]): Tensor {
  return new Tensor('int64', BigInt64Array.from(values, BigInt), [values.length, ...rest]);
}
