import type { GraphBuilder } from '../graph/builder';
import type { KvCacheDType } from '../graph/graph';
import type { PassRows } from '../rows';
import type { TestDType } from '../testing/encode';
import type { PackedExample } from '../testing/packed';

/** What a formula may look at, decoded. */
export interface Given {
  readonly rows: PassRows;
  readonly ids: Int32Array;
  /** Row r of an input. */
  input(name: string, r: number): Float32Array;
  /** What a matrix product takes: rounded to bf16 under `bfloat16`, where weights are bf16 or packed. */
  operand(x: Float32Array): Float32Array;
  /** A weight's values, row-major, decoded. */
  weight(name: string): Float32Array;
}

/** A small graph with an independent definition of what it computes. */
export interface Case {
  readonly name: string;
  readonly rows: PassRows;
  /** How matrices are quantised. @defaultValue not at all */
  readonly packed?: PackedExample;
  /** Formats of the weights, each a test. @defaultValue F32 alone, for ops without weights */
  readonly dtypes?: readonly TestDType[];
  /** Largest difference allowed, over the largest expected magnitude of the row (at least 1). */
  readonly tolerance: number;
  /**
   * The same under `bfloat16` with bf16 or packed weights, where the formula applies {@link Given.operand}.
   * @defaultValue not run under bfloat16, for ops without matrices
   */
  readonly bfloat16Tolerance?: number;
  /** How attention keeps keys and values. @defaultValue 'float32' */
  readonly kvCacheDtype?: KvCacheDType;
  /** Records ops from inputs to the output `y`. */
  readonly record: (b: GraphBuilder) => void;
  /** The formula in float64: row r of `y`. */
  readonly expected: (given: Given) => (r: number) => ArrayLike<number>;
  /** Inputs that are not random. */
  readonly inputs?: Readonly<Record<string, readonly (readonly number[])[]>>;
  /** Rows to check, where computing all would take long. @defaultValue all */
  readonly checkedRows?: readonly number[];
}

export const WEIGHT_DTYPES: readonly TestDType[] = ['F32', 'F16', 'BF16'];

/** [f(0), …, f(n - 1)] */
export function vector<T>(n: number, f: (i: number) => T): T[] {
  return Array.from({ length: n }, (_, i) => f(i));
}

export function sum(n: number, f: (i: number) => number): number {
  let total = 0;
  for (let i = 0; i < n; i++) total += f(i);
  return total;
}
