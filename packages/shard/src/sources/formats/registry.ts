import type { QuantFormat } from '../source';

/** Every way of publishing quantised weights that is known, in the order of asking. Add a line per file of this folder. */
export const FORMATS: readonly QuantFormat[] = [];
