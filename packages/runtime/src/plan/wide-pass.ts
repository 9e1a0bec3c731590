import type { Plan } from './types';

/** How a step of many rows is run. */
export interface PassShape {
  /** Rows of its widest pass. */
  readonly rows: number;
  /** Bytes of pinned weights that give way to such a pass, and are read again after it; 0 where the plan has room. */
  readonly lent: number;
}

export interface StepFacts {
  readonly count: number;
  /** Passes that rows cut at a width take. */
  readonly passes: (rows: number) => number;
  /** Bytes beside the weights that a pass of a width needs. */
  readonly activations: (rows: number) => number;
  /** Bytes of states on disk that passes of a width read, all together. @defaultValue none */
  readonly streamedState?: ((rows: number) => number) | undefined;
  /** Whether states have room for a pass of a width. */
  readonly fits: (rows: number) => boolean;
}

/**
 * The width that reads least. Every pass reads what is not resident, so a long prompt is cheaper in one wide pass than in
 * several that the plan has room for, although pinned weights then make place for its activations: these are read with
 * the others in each such pass, and once more to be resident again.
 */
export function widestPass({ maxRows, streamedBytes, bytes }: Plan, step: StepFacts): PassShape {
  let best: PassShape = { rows: maxRows, lent: 0 };
  const narrow = step.passes(maxRows);
  // Without a ring there is nothing that lent segments could pass through.
  if (narrow === 1 || streamedBytes === 0 || bytes.ring === 0) return best;
  const state = step.streamedState ?? (() => 0);
  let least = narrow * streamedBytes + state(maxRows);
  for (let passes = 1; passes < narrow; passes++) {
    const rows = Math.ceil(step.count / passes);
    const lent = step.activations(rows);
    const read = step.passes(rows) * (streamedBytes + lent) + lent + state(rows);
    if (lent > bytes.pinned || read >= least || !step.fits(rows)) continue;
    least = read;
    best = { rows, lent };
  }
  return best;
}

/** Which segments stay pinned while so many bytes of them are lent: the last ones give way, whose memory is in one piece. */
export function keptPinned(plan: Plan, lent: number): readonly boolean[] {
  const kept = [...plan.pinned];
  let bytes = 0;
  for (let i = plan.segments.length - 1; i >= 0 && bytes < lent; i--) {
    const segment = plan.segments[i]!;
    if (!kept[i] || segment.experts !== undefined) continue;
    kept[i] = false;
    bytes += segment.bytes;
  }
  return kept;
}
