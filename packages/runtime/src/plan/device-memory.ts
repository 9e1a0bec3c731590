import type { Part } from '@airllm/kernels';
import { BudgetError } from '../errors';
import type { Model } from '../models/model';
import { type DeviceBlock, type DeviceOptions, deviceBlocks, devicePasses } from './device-blocks';
import { choosePinned } from './pinned';
import type { DeviceGrant, DevicePlan } from './types';

/** A device's memory, divided. */
export interface DeviceMemory extends Omit<DevicePlan, 'resident'> {
  /** By block: the parts of it that stay there, and those that are brought in each pass; null where the host computes it. */
  readonly parts: readonly (PlacedParts | null)[];
}

export interface PlacedParts {
  readonly resident: readonly Part[];
  readonly brought: readonly Part[];
}

/** Uploads in flight. */
const STAGED_PARTS = 2;
/** Share of a device's memory that values may take before passes get narrower. */
const ACTIVATION_SHARE = 1 / 4;
const LEAST_ROWS = 16;

/** Of the most weights that stay with segments of any size, the share that larger ones must let stay. */
const KEPT_SHARE = 7 / 8;

/** What a division is made from; blocks are cut into segments of the first of `segmentSizes` that suits the device. */
export interface DivideOptions extends Omit<DeviceOptions, 'segmentBytes'> {
  readonly segmentSizes: readonly number[];
}

/**
 * With passes as wide as leaves a device most of its memory for weights, narrower ones where nothing else would fit.
 * `memory` is null where `resident` was asked for and not even the head fits. Pure.
 * Throws `BudgetError` where `all`, or a given placement, does not fit.
 */
export function divideDevice(
  model: Model,
  device: DeviceGrant,
  options: DivideOptions,
): { maxRows: number; memory: DeviceMemory | null } {
  for (let maxRows = options.maxRows; ; maxRows = Math.max(LEAST_ROWS, Math.floor(maxRows / 2))) {
    const cuts = options.segmentSizes.map((segmentBytes) => ({ ...options, maxRows, segmentBytes }));
    const last = maxRows <= LEAST_ROWS;
    const roomy = activationsOf(model, device, cuts[0]!) <= ACTIVATION_SHARE * device.bytes;
    if (!last && !roomy) continue;
    const divisions = cuts.map((cut) => divide(model, device, cut));
    const fitting = divisions.filter((memory) => memory === null || memory.bytes.total <= device.bytes);
    const most = Math.max(...fitting.map((memory) => memory?.bytes.weights ?? 0));
    const memory = fitting.find((each) => each === null || each.bytes.weights >= KEPT_SHARE * most);
    if (memory !== undefined) return { maxRows, memory };
    if (!last) continue;
    const floor = Math.min(...divisions.map((memory) => memory!.bytes.total));
    throw new BudgetError({ option: 'vram', found: device.bytes, floor, contextLength: options.contextLength });
  }
}

/**
 * Values first, states of the blocks it computes, uploads under way, the rest for weights; more than there is where these
 * alone are too much.
 */
function divide(model: Model, device: DeviceGrant, options: DeviceOptions): DeviceMemory | null {
  const blocks = deviceBlocks(model, device, options);
  const activations = activationsOf(model, device, options);
  const transfer = device.transferBytes(devicePasses(model, options), sum(blocks, 'most')).device;
  const computes = computedBlocks(blocks, device, activations + transfer);
  if (!computes.includes(true)) return null;
  const computed = blocks.filter((_, b) => computes[b]);
  const fixed = activations + transfer + sum(computed, 'state');
  const { resident, staging } = residentParts(computed, device.bytes - fixed);
  const stays = resident.flat();
  const weights = computed.flatMap(({ parts }) => parts).reduce((all, { bytes }, i) => all + (stays[i] ? bytes : 0), 0);
  let next = 0;
  return {
    name: device.name,
    computes,
    segmentBytes: options.segmentBytes,
    parts: blocks.map((block, b) => (computes[b] ? placed(block, resident[next++]!) : null)),
    bytes: {
      weights,
      staging: staging + transfer,
      state: sum(computed, 'state') + sum(computed, 'hostState'),
      activations,
      total: fixed + staging + weights,
      limit: device.bytes,
    },
    statesOnHost: device.statesOnHost === true,
    uploadedBytes: sum(computed, 'weights') - weights,
  };
}

function computedBlocks(blocks: readonly DeviceBlock[], device: DeviceGrant, fixed: number): boolean[] {
  const { blocks: asked, bytes } = device;
  if (asked === 'resident') return lastThatFit(blocks, bytes - fixed);
  return blocks.map((_, b) => asked === 'all' || asked.includes(b));
}

/** As many blocks from the model's end as fit with weights and states. */
function lastThatFit(blocks: readonly DeviceBlock[], bytes: number): boolean[] {
  let left = bytes;
  let from = blocks.length;
  while (from > 0) {
    const { weights, state, routed } = blocks[from - 1]!;
    left -= weights + state;
    if (left < 0 || routed) break;
    from--;
  }
  return blocks.map((_, b) => b >= from);
}

/** Which parts of the blocks that a device computes stay there, spread evenly, and what uploading the others takes. */
function residentParts(
  computed: readonly DeviceBlock[],
  bytes: number,
): { resident: readonly (readonly boolean[])[]; staging: number } {
  const staging = STAGED_PARTS * Math.max(...computed.map(({ mostPart }) => mostPart));
  const all = computed.some(({ routed }) => routed) ? Number.POSITIVE_INFINITY : sum(computed, 'weights');
  // Where numbers may turn out to need more, some of them have to be uploaded in each pass.
  const least = computed.some(({ part, mostPart }) => mostPart > part) ? staging : 0;
  if (all + least <= bytes) return { resident: computed.map(({ parts }) => parts.map(() => true)), staging: least };
  const candidates = computed.flatMap(({ parts }) => parts.filter(({ mayStay }) => mayStay));
  const chosen = choosePinned(candidates, Math.max(0, bytes - staging));
  let next = 0;
  return { resident: computed.map(({ parts }) => parts.map(({ mayStay }) => mayStay && chosen[next++]!)), staging };
}

function placed({ parts }: DeviceBlock, resident: readonly boolean[]): PlacedParts {
  const those = (stays: boolean) => parts.filter((_, i) => resident[i] === stays).map(({ part }) => part);
  return { resident: those(true), brought: those(false) };
}

function activationsOf(model: Model, device: DeviceGrant, options: DeviceOptions): number {
  return device.activationBytes(devicePasses(model, options), options.contextLength);
}

function sum<Key extends string>(items: readonly Readonly<Record<Key, number>>[], key: Key): number {
  return items.reduce((all, item) => all + item[key], 0);
}
