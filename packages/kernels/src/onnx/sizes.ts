/** Most bytes of one buffer of weights, in float32: what every WebGPU device can bind. */
export const PIECE_BYTES = 128 * 1024 * 1024;

/** Most bytes of scores at a time in attention: their number goes by rows times keys. */
export const SCORE_BYTES = 8 * 1024 * 1024;

/** Most bytes that are on their way to a device at a time. */
export const STAGED_BYTES = 64 * 1024 * 1024;
