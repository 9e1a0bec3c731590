import type { Codec } from '../source';

/** Every codec: what conversions name, and worker threads look up. Add a line per file of this folder. */
export const CODECS: readonly Codec[] = [];
