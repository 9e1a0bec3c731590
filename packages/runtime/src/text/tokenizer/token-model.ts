/** Splits a pre-tokenised word into tokens. */
export interface TokenModel {
  /** Appends the word's token ids to `out`. */
  encode(word: string, out: number[]): void;
}
