import { BudgetError } from '../errors';
import type { Model } from '../models/model';
import { DEFAULT_LOGIT_ROWS } from './activations';
import { Cuts } from './cuts';
import { type DeviceOptions, deviceBlocks, devicePasses } from './device-blocks';
import { type DeviceMemory, divideDevice } from './device-memory';
import { hostShare } from './host-share';
import { cutSegments } from './segments';
import type { DeviceGrant, Plan, PlanOptions, Segment } from './types';

/** Plans the host's memory, for what it computes and for the weights it brings. */
export type PlanHost = (model: Model, options: PlanOptions, cuts: Cuts) => Plan;

/** Plans what stays on the device first, and the host's memory for the rest. Throws `BudgetError`. */
export function planWithDevice(
  model: Model,
  grant: DeviceGrant,
  options: PlanOptions & { readonly maxRows: number },
  planHost: PlanHost,
): Plan {
  const { contextLength, sequences = 1, readAlignment, logitRows = DEFAULT_LOGIT_ROWS } = options;
  const cuts = new Cuts(model, { readAlignment });
  // No pass has more rows than there are positions.
  const widest = Math.min(options.maxRows, Math.max(1, contextLength * sequences));
  const asked = { contextLength, sequences, maxRows: widest, logitRows, readAlignment, expertBytes: cuts.sizes };
  let segmentSizes = grant.segmentBytes === undefined ? cuts.sizes : [grant.segmentBytes];
  for (;;) {
    const { maxRows, memory } = divideDevice(model, grant, { ...asked, segmentSizes });
    if (memory === null) return planHost(model, { ...options, device: undefined }, cuts);
    const { segmentBytes } = memory;
    try {
      const staging = hostStaging(model, grant, { ...asked, maxRows, segmentBytes });
      return planDivided(model, memory, { ...options, maxRows, staging }, planHost);
    } catch (error) {
      // Segments of this size may not find room in the host's memory.
      segmentSizes = segmentSizes.slice(segmentSizes.indexOf(segmentBytes) + 1);
      if (!BudgetError.isInstance(error) || segmentSizes.length === 0) throw error;
    }
  }
}

function planDivided(
  model: Model,
  memory: DeviceMemory,
  { staging, ...options }: PlanOptions & { readonly staging: number },
  planHost: PlanHost,
): Plan {
  const { readAlignment, processBytes } = options;
  const { segmentBytes, parts } = memory;
  const stays = cutSegments(model, { segmentBytes, readAlignment, given: (block) => parts[block]?.resident ?? [] });
  // What stays on the device passes through a ring once.
  const leastRing = 2 * Math.max(0, ...stays.map(({ bytes }) => bytes));
  const brought = new Cuts(model, { readAlignment, leastRing, given: (block) => parts[block]?.brought });
  const process = processBytes + bytesOnHost(memory);
  const host = planHost(hostShare(model, memory), { ...options, processBytes: process + staging }, brought);
  return withDevice({ ...host, bytes: { ...host.bytes, process, staging } }, stays, memory);
}

/** What a device that holds weights alone leaves to the host. */
function bytesOnHost({ statesOnHost, bytes }: DeviceMemory): number {
  return statesOnHost ? bytes.state + bytes.activations : 0;
}

/** Host memory of uploads on their way. */
function hostStaging(model: Model, grant: DeviceGrant, options: DeviceOptions): number {
  const most = deviceBlocks(model, grant, options).reduce((all, block) => all + block.most, 0);
  return grant.transferBytes(devicePasses(model, options), most).host;
}

/** A plan of what the host brings with the segments that stay on the device between its own, in the model's order. */
function withDevice(host: Plan, stays: readonly Segment[], { parts, ...device }: DeviceMemory): Plan {
  const placed = [
    ...host.segments.map((segment, i) => ({ segment, pinned: host.pinned[i]!, resident: false })),
    ...stays.map((segment) => ({ segment, pinned: false, resident: true })),
  ];
  placed.sort((a, b) => inOrder(a.segment, b.segment));
  const added = stays.reduce((all, { bytes }) => all + bytes, 0);
  return {
    ...host,
    segments: placed.map(({ segment }, index) => ({ ...segment, index })),
    pinned: placed.map(({ pinned }) => pinned),
    bytes: { ...host.bytes, weights: host.bytes.weights + added },
    device: { ...device, resident: placed.map(({ resident }) => resident) },
  };
}

function inOrder(a: Segment, b: Segment): number {
  return a.block - b.block || a.part.from - b.part.from || (a.part.slice?.from ?? 0) - (b.part.slice?.from ?? 0);
}
