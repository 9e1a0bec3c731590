import type { Model } from '../../models/model';
import { type PassSpeeds, predictPass } from '../../plan/predict';
import type { Plan } from '../../plan/types';
import { bestLength, expectedTokens } from './best-length';

export interface ForecastFacts {
  readonly model: Model;
  /** Without the draft model, and with its bytes taken off. */
  readonly plain: Plan;
  readonly speculating: Plan;
  readonly draft: { readonly model: Model; readonly plan: Plan };
  readonly speeds: PassSpeeds;
  /** Probability that a drafted token is right, its predecessors being so. */
  readonly acceptance: number;
  /** Most tokens drafted at a time. */
  readonly most: number;
}

/** What a draft model is expected to do for decoding. Seconds. */
export interface DraftForecast {
  /** A token without it. */
  readonly plainSeconds: number;
  /** A pass that verifies `drafted` tokens, in what memory is left. */
  readonly passSeconds: number;
  /** Drafting one token. */
  readonly draftSeconds: number;
  readonly drafted: number;
  readonly tokensPerPass: number;
  /** How many times as fast decoding becomes; below 1 where its bytes evict more than it earns. */
  readonly gain: number;
}

/** Weighs what a draft model costs (its time, and weights of the model that must be streamed in its place) against its drafts. */
export function forecastDraft(facts: ForecastFacts): DraftForecast {
  const { model, speeds, acceptance, most } = facts;
  const plainSeconds = predictPass(facts.plain, model, speeds).seconds;
  const draftSeconds = predictPass(facts.draft.plan, facts.draft.model, speeds).seconds;
  const seconds = (drafted: number) => predictPass(facts.speculating, model, speeds, { rows: 1 + drafted }).seconds;
  const known = Array.from({ length: most + 1 }, (_, drafted) => seconds(drafted));
  const passSeconds = (drafted: number) => known[drafted]!;
  const drafted = Math.max(1, bestLength({ most, acceptance, passSeconds, draftSeconds }));
  const tokensPerPass = expectedTokens(acceptance, drafted);
  const speculating = passSeconds(drafted) + drafted * draftSeconds;
  return {
    plainSeconds,
    passSeconds: passSeconds(drafted),
    draftSeconds,
    drafted,
    tokensPerPass,
    gain: (plainSeconds * tokensPerPass) / speculating,
  };
}
