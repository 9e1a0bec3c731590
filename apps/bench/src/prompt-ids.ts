/** Of prompts that only have to be there: decoding begins behind them. */
export const SHORT_PROMPT = 16;

/** Made-up token ids of a prompt; another seed, another prompt. */
export function promptIds(length: number, seed = 0): number[] {
  return Array.from({ length }, (_, i) => (seed * 104_729 + i * 7919 + 11) % 1000);
}
