import { OptionError } from '@airllm/loader';
import { Engine } from '../../engine';
import { BudgetError } from '../../errors';
import type { Drafter } from '../../generate/speculate/drafter';
import { type DraftForecast, forecastDraft } from '../../generate/speculate/forecast';
import { ModelDrafter } from '../../generate/speculate/model-drafter';
import { PromptLookup } from '../../generate/speculate/prompt-lookup';
import type { Model } from '../../models/model';
import type { PassSpeeds } from '../../plan/predict';
import { planResidency } from '../../plan/residency';
import type { Plan, PlanOptions } from '../../plan/types';
import { gigabytes } from '../byte-size';
import { sampleReadRate } from '../read-rate';
import type { ChooseDrafterOptions, DraftTarget, SpeculationOptions } from './draft-target';
import { type DraftWeights, otherModel, selfCopy } from './draft-weights';

export interface ChosenDrafter {
  /** Of the target, with what the drafter holds taken off its memory. */
  readonly plan: Plan;
  readonly drafter: Drafter | null;
}

/** Rows of a draft model's passes: texts are read so many tokens at a time. */
const DRAFT_ROWS = 128;
/** Tokens drafted at a time, at most, where it is weighed whether drafting pays. */
const MOST_DRAFTED = 15;
/** How often a draft model's tokens are right, before anybody has tried. */
const ACCEPTANCE = { model: 0.7, self: 0.85 } as const;
/** What is assumed of a machine where nothing was measured: only their ratios matter here. */
const ASSUMED: PassSpeeds = {
  diskBytesPerSecond: 2e9,
  readSeconds: 1e-4,
  dramBytesPerSecond: 12e9,
  flopsPerSecond: 2e11,
  callSeconds: 2e-5,
  opSeconds: 2e-6,
};

/**
 * The drafter that options ask for, and the plan beside it. One that would take more from the model's memory than its
 * guesses bring is not used, which `onWarning` is told; prompt lookup, which takes none, stands in for it. Throws
 * `OptionError` for a draft model with another tokenizer, and whatever opening it throws.
 */
export async function chooseDrafter(target: DraftTarget, options: ChooseDrafterOptions): Promise<ChosenDrafter> {
  const { model, planOptions } = target;
  const plain = planResidency(model, planOptions);
  const kind = kindOf(options);
  if (kind === 'off') return { plan: plain, drafter: null };
  if (kind === 'lookup') return { plan: plain, drafter: new PromptLookup() };
  const weights = kind === 'model' ? await otherModel(target, options) : await selfCopy(target, options);
  const beside = 'refused' in weights ? weights : await planBeside(target, plain, weights, kind);
  if ('refused' in beside) {
    options.onWarning(`speculation: ${beside.refused}; it is left to prompt lookup`);
    return { plan: plain, drafter: new PromptLookup() };
  }
  return { plan: beside.plan, drafter: await openDrafter(kind, target, await (weights as DraftWeights).ready()) };
}

function kindOf({ speculate = 'auto', draftModel }: SpeculationOptions): 'off' | 'lookup' | 'self' | 'model' {
  const known = ['auto', 'off', 'lookup', 'self'];
  if (!known.includes(speculate)) {
    throw new OptionError({ option: 'speculate', expected: known.join(', '), found: speculate });
  }
  if (draftModel === undefined) return speculate === 'auto' ? 'lookup' : speculate;
  if (speculate === 'auto') return 'model';
  if (speculate === 'off') return 'off';
  throw new OptionError({ option: 'speculate', expected: 'auto or off beside draftModel', found: speculate });
}

interface Refusal {
  /** Why a draft model is not used. */
  readonly refused: string;
}

/** The target's plan beside a draft model, where that pays. */
async function planBeside(
  target: DraftTarget,
  plain: Plan,
  { model: draftModel, name }: DraftWeights,
  kind: 'model' | 'self',
): Promise<{ readonly plan: Plan } | Refusal> {
  const { model, planOptions, reader } = target;
  const draft = { model: draftModel, plan: planDraft(draftModel, target) };
  const plan = besideOrNull(model, planOptions, draft.plan);
  const size = gigabytes(draft.plan.bytes.total);
  if (plan === null) return { refused: `${name} takes ${size}, for which the memory has no room beside the model` };
  // Where it takes no weight's place, how often it is right decides, and that shows while it runs.
  const sameStates = (plan.diskState === null) === (plain.diskState === null);
  if (sameStates && plan.streamedBytes <= plain.streamedBytes) return { plan };
  const rate = await sampleReadRate(model, reader);
  const speeds = rate === undefined ? ASSUMED : { ...ASSUMED, diskBytesPerSecond: rate };
  const facts = { model, plain, speculating: plan, draft, speeds, acceptance: ACCEPTANCE[kind], most: MOST_DRAFTED };
  const forecast = forecastDraft(facts);
  return forecast.gain > 1 ? { plan } : { refused: `${name} takes ${size}, and ${reason(forecast)}` };
}

function reason({ plainSeconds, passSeconds, draftSeconds, drafted, tokensPerPass }: DraftForecast): string {
  const seconds = (value: number) => `${value.toPrecision(2)} s`;
  return (
    `in what memory is left ${tokensPerPass.toFixed(1)} tokens are expected to take ` +
    `${seconds(passSeconds + drafted * draftSeconds)} where one takes ${seconds(plainSeconds)} without it`
  );
}

function besideOrNull(model: Model, planOptions: PlanOptions, { bytes }: Plan): Plan | null {
  const { pinned, experts, state, activations } = bytes;
  try {
    return planResidency(model, { ...planOptions, draft: { weights: pinned + experts, state, activations } });
  } catch (error) {
    if (BudgetError.isInstance(error)) return null;
    throw error;
  }
}

/** All of it stays in memory; its account is part of the target's. */
function planDraft(model: Model, { planOptions }: DraftTarget): Plan {
  const { contextLength, sequences, readAlignment } = planOptions;
  const states = { contextLength, sequences };
  return planResidency(model, { processBytes: 0, ...states, readAlignment, maxRows: DRAFT_ROWS, logitRows: 1 });
}

async function openDrafter(name: 'model' | 'self', target: DraftTarget, model: Model): Promise<Drafter> {
  const { executor, reader } = target;
  const engine = new Engine({ model, plan: planDraft(model, target), executor, reader });
  const { vocabSize } = target.model.config;
  return new ModelDrafter({ name, engine, vocabSize, dispose: () => engine.dispose() });
}
