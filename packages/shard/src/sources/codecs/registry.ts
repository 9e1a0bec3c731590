import type { Codec } from '../source';
import { strided } from './strided';

/** Every codec: what conversions name, and worker threads look up. Add a line per file of this folder. */
export const CODECS: readonly Codec[] = [strided];
