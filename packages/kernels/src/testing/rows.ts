import type { PassRows } from '../rows';

export interface RowFields {
  readonly position: number;
  readonly sequence?: number;
  readonly visibleFrom?: number;
  readonly ropeLength?: number;
}

export function passRows(rows: readonly RowFields[]): PassRows {
  return {
    count: rows.length,
    sequence: Int32Array.from(rows, (row) => row.sequence ?? 0),
    position: Int32Array.from(rows, (row) => row.position),
    visibleFrom: Int32Array.from(rows, (row) => row.visibleFrom ?? 0),
    ropeLength: Int32Array.from(rows, (row) => row.ropeLength ?? row.position + 1),
  };
}

/** Positions 0 to count - 1 of one sequence. */
export function prompt(count: number, fields: Partial<RowFields> = {}): PassRows {
  return passRows(Array.from({ length: count }, (_, position) => ({ position, ...fields })));
}

/** Rows [from, to) of a pass, as a pass of their own. */
export function someRows(rows: PassRows, from: number, to: number): PassRows {
  return {
    count: to - from,
    sequence: rows.sequence.slice(from, to),
    position: rows.position.slice(from, to),
    visibleFrom: rows.visibleFrom.slice(from, to),
    ropeLength: rows.ropeLength.slice(from, to),
  };
}
