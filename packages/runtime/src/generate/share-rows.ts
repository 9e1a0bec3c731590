/** What a generation would have run in the next pass. */
export interface WantedRows {
  /** Rows whose logits are wanted: its last token's, and those of drafts. */
  readonly decoding: number;
  /** Rows of a prompt before that. */
  readonly prefill: number;
}

export interface ShareLimits {
  /** Rows at which a pass is wide enough. */
  readonly rows: number;
  /** Rows of a pass whose logits may be wanted. */
  readonly logitRows: number;
  /** Rows of prompts that the others can be asked to wait for. */
  readonly prefillRows: number;
}

/** However many decode, prompts get this share of a pass, so that whoever comes gets on. */
const LEAST_PREFILL = 1 / 8;

/**
 * Rows of each generation in the next pass: those that decode come first, then prompts, in the order given. A generation
 * whose logits find no room waits for the next pass.
 */
export function shareRows(wanted: readonly WantedRows[], limits: ShareLimits): number[] {
  const { rows, logitRows, prefillRows } = limits;
  const shares = wanted.map(() => 0);
  let used = 0;
  let logits = 0;
  for (const [i, { decoding, prefill }] of wanted.entries()) {
    if (prefill > 0 || logits + decoding > logitRows) continue;
    shares[i] = decoding;
    used += decoding;
    logits += decoding;
  }
  let left = Math.min(prefillRows, Math.max(rows - used, Math.ceil(rows * LEAST_PREFILL)));
  for (const [i, { decoding, prefill }] of wanted.entries()) {
    if (prefill === 0 || left === 0) continue;
    const whole = prefill + decoding <= left && logits + decoding <= logitRows;
    shares[i] = whole ? prefill + decoding : Math.min(prefill, left);
    left -= shares[i]!;
    if (whole) logits += decoding;
  }
  return shares;
}
