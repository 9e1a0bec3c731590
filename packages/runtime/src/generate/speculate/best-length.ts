export interface LengthFacts {
  /** Most tokens that could be drafted. */
  readonly most: number;
  /** Probability that a drafted token is right, its predecessors being so. */
  readonly acceptance: number;
  /** Seconds of a pass in which so many drafted tokens are verified. */
  readonly passSeconds: (drafted: number) => number;
  /** Seconds that drafting one token takes. */
  readonly draftSeconds: number;
}

/** What drafting must gain before it is done: figures are measured, and none of them is exact. */
const LEAST_GAIN = 1.03;

/** Tokens that a pass brings when `drafted` are verified in it: 1 + a + a² + … (Leviathan et al. 2023, equation 1). */
export function expectedTokens(acceptance: number, drafted: number): number {
  let tokens = 1;
  for (let i = 1, all = acceptance; i <= drafted; i++, all *= acceptance) tokens += all;
  return tokens;
}

/** Tokens to draft so that most are expected per second; 0 where drafting does not pay. */
export function bestLength({ most, acceptance, passSeconds, draftSeconds }: LengthFacts): number {
  let best = 0;
  let highest = LEAST_GAIN / passSeconds(0);
  for (let drafted = 1; drafted <= most; drafted++) {
    const rate = expectedTokens(acceptance, drafted) / (passSeconds(drafted) + drafted * draftSeconds);
    if (rate <= highest) continue;
    best = drafted;
    highest = rate;
  }
  return best;
}
