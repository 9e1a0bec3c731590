import type { PassRows } from '@airllm/kernels';
import type { Sequence } from './sequence';

/** One position of one sequence, to be run in the next pass. */
export interface Row {
  readonly sequence: Sequence;
  readonly position: number;
  /** A token id, or the hidden vector itself (an image embedding), float32 of the model's width. */
  readonly input: number | Float32Array;
  /** First position it may see. @defaultValue 0 */
  readonly visibleFrom?: number;
  /**
   * Sequence length for RoPE that depends on it (dynamic, longrope): of the prompt for its rows, position + 1 after it.
   * @defaultValue position + 1
   */
  readonly ropeLength?: number;
  /** The logits after this row are wanted. */
  readonly wantsLogits?: boolean;
}

/** Rows as executors take them, and the sequences their `sequence` indexes. */
export interface PackedRows {
  readonly rows: PassRows;
  readonly sequences: readonly Sequence[];
}

export function packRows(rows: readonly Row[]): PackedRows {
  const sequences = [...new Set(rows.map((row) => row.sequence))];
  const index = new Map(sequences.map((sequence, i) => [sequence, i]));
  return {
    sequences,
    rows: {
      count: rows.length,
      sequence: Int32Array.from(rows, (row) => index.get(row.sequence)!),
      position: Int32Array.from(rows, (row) => row.position),
      visibleFrom: Int32Array.from(rows, (row) => row.visibleFrom ?? 0),
      ropeLength: Int32Array.from(rows, (row) => row.ropeLength ?? row.position + 1),
    },
  };
}

/** Cuts rows into passes of at most `maxRows` rows of which at most `maxLogits` want logits. Order is kept. */
export function cutPasses(rows: readonly Row[], maxRows: number, maxLogits: number): Row[][] {
  const passes: Row[][] = [];
  let pass: Row[] = [];
  let wanting = 0;
  for (const row of rows) {
    if (pass.length === maxRows || (row.wantsLogits && wanting === maxLogits)) {
      passes.push(pass);
      pass = [];
      wanting = 0;
    }
    pass.push(row);
    if (row.wantsLogits) wanting++;
  }
  if (pass.length > 0) passes.push(pass);
  return passes;
}
