import type { Engine } from '../engine';
import type { PassCosts } from './pass-costs';

/** How many rows passes get while several texts are generated. */
export interface RowLimit {
  readonly rows: number;
  /**
   * `planned`: as many as the plan has memory for, because the weights stay in memory or nothing was measured yet.
   * `balanced`: as many as are computed while the drive reads, so that neither waits for the other.
   */
  readonly chosen: 'planned' | 'balanced';
  /** Seconds the drive takes for a pass, and arithmetic at this number of rows; null where not measured. */
  readonly driveSeconds: number | null;
  readonly computeSeconds: number | null;
}

/** A prompt goes on by at least this in every pass, however slow arithmetic is. */
const LEAST_ROWS = 32;
/** Passes are not made wider than this many times the plan's. */
const WIDEST = 8;

/** From the speeds that were measured; `length` is that of the longest sequence. */
export function rowLimit(engine: Pick<Engine, 'plan' | 'passShape'>, costs: PassCosts, length = 0): RowLimit {
  const { plan } = engine;
  const free = plan.streamedBytes === 0 ? undefined : costs.freeRows(WIDEST * plan.maxRows);
  const facts = (rows: number) => ({
    rows,
    driveSeconds: costs.driveSeconds(rows) ?? null,
    computeSeconds: costs.computeSeconds(rows) ?? null,
  });
  if (free === undefined) return { ...facts(plan.maxRows), chosen: 'planned' };
  const wanted = Math.max(free, Math.min(LEAST_ROWS, plan.maxRows));
  const rows = Math.min(wanted, engine.passShape(wanted, length).rows);
  return { ...facts(rows), chosen: 'balanced' };
}
