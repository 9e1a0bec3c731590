/**
 * Rotary position embedding as data. Angles are computed once per pass in TypeScript (`ropeAngles`) and handed to every
 * executor as a table, so all variants live in one place and executors only rotate.
 * Formulas: transformers `modeling_rope_utils.py`.
 */
export interface RopeSpec {
  /** Columns that are rotated in each head. */
  readonly dim: number;
  readonly theta: number;
  readonly scaling: RopeScaling;
}

/** How angles are changed for contexts beyond those of training, by transformers' `rope_type`. */
export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  /** NTK-aware base that grows with the row's `ropeLength` past `maxPositions`. */
  | { readonly type: 'dynamic'; readonly factor: number; readonly maxPositions: number }
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalMaxPositions: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly truncate: boolean;
      /** Multiplies cos and sin. */
      readonly attentionFactor: number;
    }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    }
  | {
      readonly type: 'longrope';
      /** One divisor per frequency, for rows whose `ropeLength` is within the original context, and beyond. */
      readonly shortFactor: readonly number[];
      readonly longFactor: readonly number[];
      readonly originalMaxPositions: number;
      readonly attentionFactor: number;
    };
