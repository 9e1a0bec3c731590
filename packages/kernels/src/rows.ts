/**
 * The rows of one pass, as parallel arrays. A row is one position of one sequence; prefill, decode, batches and the
 * verification of drafted tokens differ only in the rows they bring. Rows of one sequence come in ascending position.
 */
export interface PassRows {
  readonly count: number;
  /** Index into the pass's sequences. */
  readonly sequence: Int32Array;
  /** Logical position: where the row's key and value are stored, and the last position it sees. */
  readonly position: Int32Array;
  /** First logical position the row may see; an attention op's window narrows it further. */
  readonly visibleFrom: Int32Array;
  /**
   * The sequence length that length-dependent RoPE (dynamic, longrope) takes for this row. A property of the row, not
   * of the pass: so chunking a prompt changes nothing.
   */
  readonly ropeLength: Int32Array;
}
