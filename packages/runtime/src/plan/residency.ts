import { OptionError } from '@airllm/loader';
import { BudgetError } from '../errors';
import type { Model } from '../models/model';
import { activationBytes, DEFAULT_LOGIT_ROWS, mostLogitRows, wideLogitBytes } from './activations';
import { type Cut, Cuts } from './cuts';
import { planWithDevice } from './device';
import { ringForDrives } from './drives';
import { choosePinned } from './pinned';
import { LARGEST_SEGMENT } from './segment-sizes';
import { planDiskState, type StateCounts, stateMemory } from './state-place';
import type { DiskStatePlan, Plan, PlanOptions, Segment } from './types';

const DEFAULT_MAX_ROWS = 512;
/** Passes get narrower before a plan fails, but not below this. */
const LEAST_ROWS = 16;
/** States leave memory rather than passes getting narrower than this: a long prompt would take too many of them. */
const ROOMY_ROWS = 64;
/** Share of what state and process leave that activations may take before passes get narrower. */
const ACTIVATION_SHARE = 1 / 4;

/** Share of what activations leave that the logits of many rows may take: where weights stream, more texts come of a pass. */
const LOGIT_SHARE = 1 / 4;

/** How many segments the ring holds, and the share of the weights' memory it may take; tried in order. */
const RING_RULES = [
  { segments: 4, share: 1 / 8 },
  { segments: 4, share: 1 / 2 },
  { segments: 2, share: 1 },
] as const;

/** Share of the weights' memory that a ring for several drives may take: reading faster outweighs reading that much more. */
const DRIVES_SHARE = 1 / 3;

/** Slots that running experts needs: one computes while the next is read. */
const LEAST_EXPERT_SLOTS = 2;

/** What the weights' memory is spent on. */
interface Layout {
  readonly cut: Cut;
  readonly ring: number;
  readonly slots: number;
}

/**
 * Divides memory: activations, state and process first, the rest for weights. If all weights fit, all stay. If not, a
 * ring that is a small share of it streams, and the rest is a fixed pinned set, spread evenly through the cycle so that
 * the drive never pauses (an LRU would hit nothing: the scan is cyclic). Routed experts get least-recently-used slots
 * from what the static weights leave. A device's memory is divided first, the host's for what remains. Pure: the same input gives the same plan.
 *
 * Throws `BudgetError`, which names the option and the smallest value that would work.
 */
export function planResidency(model: Model, options: PlanOptions): Plan {
  check(options);
  const { device, maxRows = DEFAULT_MAX_ROWS } = options;
  return device === undefined
    ? planHost(model, options, new Cuts(model, { readAlignment: options.readAlignment }))
    : planWithDevice(model, device, { ...options, maxRows }, planHost);
}

/** With states in memory or on disk, as asked for or as memory allows. */
function planHost(model: Model, options: PlanOptions, cuts: Cuts): Plan {
  const { statePlace = 'memory', stateDir, maxRows = DEFAULT_MAX_ROWS } = options;
  const disk = statePlace === 'memory' ? null : planDiskState(model, stateCounts(options), stateDir ?? '');
  if (disk === null) return planStates(model, options, cuts, null);
  if (statePlace === 'disk') return planStates(model, options, cuts, disk);
  const inMemory = attempt(() => planStates(model, options, cuts, null));
  if ('plan' in inMemory && inMemory.plan.maxRows >= Math.min(ROOMY_ROWS, maxRows)) return inMemory.plan;
  const onDisk = attempt(() => planStates(model, options, cuts, disk));
  // Of a model of few layers, regions may take as much as all states do.
  if ('plan' in inMemory && ('error' in onDisk || onDisk.plan.maxRows <= inMemory.plan.maxRows)) return inMemory.plan;
  if ('plan' in onDisk) return onDisk.plan;
  throw 'error' in inMemory && inMemory.error.floor < onDisk.error.floor ? inMemory.error : onDisk.error;
}

function attempt(plan: () => Plan): { readonly plan: Plan } | { readonly error: BudgetError } {
  try {
    return { plan: plan() };
  } catch (error) {
    if (BudgetError.isInstance(error)) return { error };
    throw error;
  }
}

function planStates(model: Model, options: PlanOptions, cuts: Cuts, disk: DiskStatePlan | null): Plan {
  const { logitRows = DEFAULT_LOGIT_ROWS } = options;
  const activations = activationBytes(model, options.readAlignment, logitRows);
  const wideLogits = wideLogitBytes(model, logitRows);
  const { contextLength, memory = Infinity } = options;
  const { processBytes, draft = { weights: 0, state: 0, activations: 0 } } = options;
  const draftBytes = draft.weights + draft.state + draft.activations;
  const others = processBytes + draftBytes;
  const weightsMemory = (options.weightsMemory ?? Infinity) - draft.weights;
  const states = (rows: number) => stateMemory(model, stateCounts(options), rows, disk);
  const besides = (rows: number) => others + states(rows) + activations(rows);
  const granted = (rows: number, wide = 0) => Math.min(memory - besides(rows) - wideLogits(wide), weightsMemory);

  const candidates = rowCandidates(options.maxRows ?? DEFAULT_MAX_ROWS);
  const least = candidates.at(-1)!;
  const floorWeights = Math.min(...cuts.sizes.map((size) => leastWeights(cuts.at(size))));
  const floor = { memory: besides(least) + floorWeights, weightsMemory: floorWeights + draft.weights };
  if (options.weightsMemory !== undefined && options.weightsMemory < floor.weightsMemory) {
    throw new BudgetError({
      option: 'weightsMemory',
      found: options.weightsMemory,
      floor: floor.weightsMemory,
      contextLength,
    });
  }
  if (memory < floor.memory) {
    throw new BudgetError({ option: 'memory', found: memory, floor: floor.memory, contextLength });
  }

  const comfortable = (rows: number) => activations(rows) <= ACTIVATION_SHARE * (memory - others - states(rows));
  const maxRows =
    candidates.find((rows) => everything(cuts.at(LARGEST_SEGMENT), granted(rows)) !== undefined) ??
    candidates.find((rows) => comfortable(rows) && granted(rows) >= floorWeights) ??
    candidates.find((rows) => granted(rows) >= floorWeights)!;
  const holdsAll = (wide: number) => everything(cuts.at(LARGEST_SEGMENT), granted(maxRows, wide)) !== undefined;
  const resident = holdsAll(0);
  const roomy = (wide: number) =>
    resident
      ? holdsAll(wide)
      : granted(maxRows, wide) >= floorWeights && wideLogits(wide) <= LOGIT_SHARE * (memory - besides(maxRows));
  const together = Math.min(maxRows, logitRows);
  const passLogitRows = logitRowCandidates(model, together, maxRows, options).find(roomy) ?? together;
  const bytes = granted(maxRows, passLogitRows);
  const narrow = layOut(cuts, bytes);
  const segments = cuts.segments(narrow.cut.segmentBytes);
  const layout = forDrives(narrow, segments, bytes, options.driveOf);
  return assemble(segments, layout, bytes, {
    maxRows,
    logitRows: together,
    passLogitRows,
    state: states(maxRows),
    disk,
    activations: activations(maxRows) + wideLogits(passLogitRows),
    process: processBytes,
    draft: draftBytes,
    floor,
  });
}

function stateCounts({ contextLength: length, sequences = 1 }: PlanOptions): StateCounts {
  return { length, sequences };
}

function check(options: PlanOptions): void {
  const { readAlignment, maxRows = DEFAULT_MAX_ROWS, logitRows = DEFAULT_LOGIT_ROWS, sequences = 1 } = options;
  if (!Number.isInteger(Math.log2(readAlignment))) {
    throw new OptionError({ option: 'readAlignment', expected: 'a power of two', found: readAlignment });
  }
  for (const [option, found] of Object.entries({ maxRows, logitRows, sequences })) {
    if (Number.isSafeInteger(found) && found >= 1) continue;
    throw new OptionError({ option, expected: 'a whole number of at least 1', found });
  }
  const { statePlace = 'memory', stateDir } = options;
  if (!['auto', 'memory', 'disk'].includes(statePlace)) {
    throw new OptionError({ option: 'statePlace', expected: 'auto, memory or disk', found: statePlace });
  }
  if (statePlace !== 'memory' && stateDir === undefined) {
    throw new OptionError({ option: 'stateDir', expected: `a folder for statePlace ${statePlace}`, found: stateDir });
  }
  for (const option of ['memory', 'weightsMemory', 'processBytes', 'contextLength'] as const) {
    const found = options[option];
    if (found !== undefined && !(found >= 0)) {
      throw new OptionError({ option, expected: 'a number of at least 0', found });
    }
  }
}

/** Halving from what is wanted to the least that is sensible. */
function rowCandidates(maxRows: number): number[] {
  const candidates = [maxRows];
  for (let rows = maxRows; rows > LEAST_ROWS; candidates.push(rows)) rows = Math.max(LEAST_ROWS, Math.floor(rows / 2));
  return candidates;
}

/** Halving from what a pass may give at most to what the head computes together; a device gives no more than that. */
function logitRowCandidates(model: Model, together: number, maxRows: number, { device }: PlanOptions): number[] {
  if (device !== undefined) return [together];
  const candidates = [Math.min(maxRows, mostLogitRows(together, model.config.vocabSize))];
  for (let rows = candidates[0]!; rows > together; candidates.push(rows))
    rows = Math.max(together, Math.floor(rows / 2));
  return candidates;
}

function leastSlots(cut: Cut): number {
  return Math.min(LEAST_EXPERT_SLOTS, cut.experts.parts);
}

/** Least memory a cut can run in: two segments in the ring (or all of them), two experts. */
function leastWeights(cut: Cut): number {
  return Math.max(cut.leastRing, Math.min(2 * cut.largest, cut.staticBytes)) + leastSlots(cut) * cut.experts.largest;
}

/** The layout that never streams, if it fits. */
function everything(cut: Cut, bytes: number): Layout | undefined {
  const slots = cut.experts.parts;
  const ring = cut.leastRing;
  return cut.staticBytes + slots * cut.experts.largest + ring <= bytes ? { cut, ring, slots } : undefined;
}

/** All static weights pinned, and experts in the slots that are left. */
function expertsOnly(cut: Cut, bytes: number): Layout | undefined {
  const { largest } = cut.experts;
  const ring = cut.leastRing;
  const left = bytes - cut.staticBytes - ring;
  if (largest === 0 && left >= 0) return { cut, ring, slots: 0 };
  if (largest === 0 || leastSlots(cut) * largest > left) return undefined;
  return { cut, ring, slots: Math.min(cut.experts.parts, Math.floor(left / largest)) };
}

function layOut(cuts: Cuts, bytes: number): Layout {
  const all = everything(cuts.at(LARGEST_SEGMENT), bytes);
  if (all) return all;
  // Experts are looked up by size of their slots: large parts, as long as a fair number of them fits.
  for (const size of cuts.sizes) {
    const layout = expertsOnly(cuts.at(size), bytes);
    if (layout) return layout;
  }
  for (const rule of RING_RULES) {
    for (const size of cuts.sizes) {
      const cut = cuts.at(size);
      const ring = Math.max(cut.leastRing, rule.segments * cut.largest);
      const slots = leastSlots(cut);
      if (ring + slots * cut.experts.largest <= rule.share * bytes) return { cut, ring, slots };
    }
  }
  throw new Error('unreachable: the caller checked the floor');
}

/** With a ring in which several drives find room, where that is a fair share of the weights' memory. */
function forDrives(
  layout: Layout,
  segments: readonly Segment[],
  bytes: number,
  driveOf: PlanOptions['driveOf'],
): Layout {
  if (driveOf === undefined || layout.ring === 0) return layout;
  const streamed = Math.max(0, 1 - bytes / layout.cut.staticBytes);
  const ring = ringForDrives(segments, driveOf, streamed);
  return ring > layout.ring && ring <= DRIVES_SHARE * bytes ? { ...layout, ring } : layout;
}

function assemble(
  segments: readonly Segment[],
  layout: Layout,
  bytes: number,
  rest: {
    maxRows: number;
    logitRows: number;
    passLogitRows: number;
    state: number;
    disk: DiskStatePlan | null;
    activations: number;
    process: number;
    draft: number;
    floor: Plan['floor'];
  },
): Plan {
  const { cut, slots } = layout;
  const experts = slots * cut.experts.largest;
  const held = slots === cut.experts.parts;
  const chosen = layout.ring === 0 ? segments.map(() => true) : choosePinned(segments, bytes - layout.ring - experts);
  const pinned = segments.map((segment, i) => (segment.experts === undefined ? chosen[i]! : held));
  // Sizes were worst cases: in the end everything may have found a place.
  const ring = chosen.every((kept) => kept) ? cut.leastRing : layout.ring;
  const staticBytes = total(segments);
  const pinnedBytes = total(segments.filter((_, i) => pinned[i]));
  const expertBytes = total(segments.flatMap((segment) => segment.experts?.flat() ?? []));
  const { maxRows, logitRows, passLogitRows, state, disk, activations, process, draft, floor } = rest;
  return {
    segments,
    pinned,
    maxRows,
    logitRows,
    passLogitRows,
    bytes: {
      weights: staticBytes + expertBytes,
      pinned: pinnedBytes,
      ring,
      experts,
      state,
      activations,
      process,
      staging: 0,
      draft,
      total: pinnedBytes + ring + experts + state + activations + process + draft,
    },
    expertSlots: { count: slots, bytes: cut.experts.largest },
    streamedBytes: staticBytes - pinnedBytes + (held ? 0 : expertBytes),
    diskState: disk,
    floor,
    device: null,
  };
}

function total(items: readonly { readonly bytes: number }[]): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0);
}
