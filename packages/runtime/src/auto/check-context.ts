import { OptionError } from '@airllm/loader';
import type { Model } from '../models/model';

/**
 * Says where a context is longer than what the model was made for: plain RoPE goes on past it, to texts that get worse and
 * worse (scaled RoPE is meant to go past what config.json tells, by how much differs); learned positions end there. Throws
 * `OptionError` for the latter.
 */
export function checkContext(model: Model, contextLength: number, onWarning: (message: string) => void): void {
  const { maxPositions } = model.config;
  if (contextLength <= maxPositions) return;
  const isLearned = model.embedding.graph.ops.some((op) => op.op === 'embed' && op.by === 'position');
  if (isLearned) {
    const expected = `at most ${maxPositions}: the model has learned no further positions`;
    throw new OptionError({ option: 'contextLength', expected, found: contextLength });
  }
  const isScaled = model.layers.some(({ graph }) => graph.ropes.some(({ scaling }) => scaling.type !== 'default'));
  if (isScaled) return;
  onWarning(
    `airllm: the model was made for ${maxPositions} positions; what it says past these, in a context of ${contextLength}, is worse`,
  );
}
