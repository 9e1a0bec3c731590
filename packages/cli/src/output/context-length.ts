/** Of a `ContextLengthError`. */
export interface LengthFacts {
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly contextLength: number;
}

/** Without the library's names of options. */
export function doesNotFit({ promptTokens, newTokens, contextLength }: LengthFacts): string {
  return `${promptTokens} prompt tokens and ${newTokens} new ones do not fit a context of ${contextLength}`;
}
