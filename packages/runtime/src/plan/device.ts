import type { Block, Graph } from '@airllm/kernels';
import { BudgetError } from '../errors';
import type { Model } from '../models/model';
import { DEFAULT_LOGIT_ROWS } from './activations';
import { choosePinned } from './pinned';
import { LARGEST_SEGMENT, segmentSizesOf } from './segment-sizes';
import { type CutOptions, cutSegments, graphCutter } from './segments';
import type { DeviceGrant, DevicePlan, GraphPasses, Plan, PlanOptions, Segment } from './types';

/** What a plan for a device is made from beside its grant. */
interface DeviceOptions extends Pick<PlanOptions, 'contextLength' | 'sequences'> {
  readonly maxRows: number;
  /** Rows whose logits are computed together. */
  readonly logitRows: number;
  readonly cut: CutOptions;
  /** Bytes of segments that blocks may be cut into. */
  readonly segmentSizes: readonly number[];
}

/** What one block takes of a device. */
interface BlockSize {
  /** Without routed experts, which are brought when they are chosen and never stay. */
  readonly weights: number;
  readonly routed: boolean;
  /** Zero where it is the host's. */
  readonly state: number;
  readonly hostState: number;
  /** Of its parts, the largest, as its numbers are expected to be kept and at most. */
  readonly part: number;
  readonly mostPart: number;
  /** All that may be uploaded of it, experts included. */
  readonly most: number;
}

/** Uploads in flight. */
const STAGED_PARTS = 2;
/** Share of a device's memory that values may take before passes get narrower. */
const ACTIVATION_SHARE = 1 / 4;
const LEAST_ROWS = 16;

/** Passes as wide as leaves a device most of its memory for weights, narrower ones where nothing else would fit. */
function planRows(
  model: Model,
  device: DeviceGrant,
  options: DeviceOptions,
): { maxRows: number; device: DevicePlan | null } {
  const roomy = (rows: number) =>
    activationsOf(model, device, { ...options, maxRows: rows }) <= ACTIVATION_SHARE * device.bytes;
  for (let maxRows = options.maxRows; ; maxRows = Math.max(LEAST_ROWS, Math.floor(maxRows / 2))) {
    const last = maxRows <= LEAST_ROWS;
    if (!last && !roomy(maxRows)) continue;
    try {
      return { maxRows, device: planDevice(model, device, { ...options, maxRows }) };
    } catch (error) {
      if (last || !BudgetError.isInstance(error)) throw error;
    }
  }
}

/**
 * Divides a device's memory: values first, states of the blocks it computes, uploads under way, the rest for weights.
 * Null where `resident` was asked for and not even the head fits. Pure.
 * Throws `BudgetError` where `all`, or a given placement, does not fit.
 */
function planDevice(model: Model, device: DeviceGrant, options: DeviceOptions): DevicePlan | null {
  const blocks = [...model.layers, model.head];
  const sizes = blockSizes(blocks, device, options);
  const activations = activationsOf(model, device, options);
  const transfer = device.transferBytes(passesOf(model, options), sum(sizes, 'most')).device;
  const fixed = (computes: readonly boolean[]) =>
    activations +
    transfer +
    sum(
      sizes.filter((_, b) => computes[b]),
      'state',
    );
  const placed = device.blocks;
  const computes =
    placed === 'resident'
      ? lastThatFit(sizes, device.bytes - activations - transfer)
      : blocks.map((_, b) => placed === 'all' || placed.includes(b));
  if (!computes.includes(true)) return null;
  const { resident, staging } = residentBlocks(sizes, computes, device.bytes - fixed(computes));
  const weights = sum(
    sizes.filter((_, b) => resident[b]),
    'weights',
  );
  const total = fixed(computes) + staging + weights;
  const computed = sizes.filter((_, b) => computes[b]);
  if (total > device.bytes) {
    throw new BudgetError({ option: 'vram', found: device.bytes, floor: total, contextLength: options.contextLength });
  }
  return {
    name: device.name,
    computes,
    resident,
    bytes: {
      weights,
      staging: staging + transfer,
      state: sum(computed, 'state') + sum(computed, 'hostState'),
      activations,
      total,
      limit: device.bytes,
    },
    statesOnHost: device.statesOnHost === true,
    uploadedBytes: sum(
      sizes.filter((_, b) => computes[b] && !resident[b]),
      'weights',
    ),
  };
}

/** The model as its host sees it: without what stays on the device, and without the states of what is computed there. */
export function hostShare(model: Model, { computes, resident }: DevicePlan): Model {
  const layers = model.layers
    .map((layer, b) => (computes[b] ? stateless(layer) : layer))
    .filter((_, b) => !resident[b]);
  return { ...model, layers, head: resident.at(-1) ? weightless(model.head) : model.head };
}

/** Plans what stays on the device first, and the host's memory for the rest. */
export function planWithDevice(
  model: Model,
  grant: DeviceGrant,
  options: PlanOptions & { readonly maxRows: number },
  planHost: (model: Model, options: PlanOptions) => Plan,
): Plan {
  const { contextLength, sequences, readAlignment, processBytes } = options;
  const cut = { segmentBytes: LARGEST_SEGMENT, readAlignment };
  const { logitRows = DEFAULT_LOGIT_ROWS } = options;
  const segmentSizes = segmentSizesOf(model);
  const rowsAsked = { contextLength, sequences, maxRows: options.maxRows, logitRows, cut, segmentSizes };
  const { maxRows, device } = planRows(model, grant, rowsAsked);
  if (device === null) return planHost(model, options);
  const share = hostShare(model, device);
  const process = processBytes + bytesOnHost(device);
  const sizes = blockSizes([...model.layers, model.head], grant, rowsAsked);
  const staging = grant.transferBytes(passesOf(model, rowsAsked), sum(sizes, 'most')).host;
  const planShare = (more: number) => {
    const plan = planHost(share, { ...options, maxRows, processBytes: process + staging + more });
    return { ...plan, bytes: { ...plan.bytes, process, staging } };
  };
  const host = planShare(0);
  const ring = leastRing(model, device, cut);
  if (host.bytes.ring >= ring) return withDevice(host, model, device, cut);
  // Where the host streams little, what goes to the device still passes through a ring once.
  const narrower = planShare(ring);
  const { bytes } = narrower;
  const wider = { ...bytes, ring: Math.max(ring, bytes.ring) };
  const total = bytes.total - ring - bytes.ring + wider.ring;
  return withDevice({ ...narrower, bytes: { ...wider, total } }, model, device, cut);
}

/** What a device that holds weights alone leaves to the host. */
function bytesOnHost({ statesOnHost, bytes }: DevicePlan): number {
  return statesOnHost ? bytes.state + bytes.activations : 0;
}

/** A plan of the host's share with the blocks that stay on the device between its own, in the model's order. */
function withDevice(host: Plan, model: Model, device: DevicePlan, cut: CutOptions): Plan {
  const kept = device.resident.flatMap((resident, b) => (resident ? [] : [b]));
  const numbered = (index: number, segment: Segment, block: number): Segment => ({ ...segment, index, block });
  const own = residentSegments(model, device, cut);
  const placed = [
    ...host.segments.map((segment, i) => ({ segment, block: kept[segment.block] ?? -1, pinned: host.pinned[i]! })),
    // They pass through the ring once.
    ...own.map((segment) => ({ segment, block: segment.block, pinned: false })),
  ];
  placed.sort((a, b) => a.block - b.block || a.segment.index - b.segment.index);
  const added = own.reduce((all, { bytes }) => all + bytes, 0);
  return {
    ...host,
    segments: placed.map(({ segment, block }, index) => numbered(index, segment, block)),
    pinned: placed.map(({ pinned }) => pinned),
    bytes: { ...host.bytes, weights: host.bytes.weights + added },
    device,
  };
}

/** The least ring through which the blocks that stay on the device get there. */
function leastRing(model: Model, device: DevicePlan, cut: CutOptions): number {
  return 2 * Math.max(0, ...residentSegments(model, device, cut).map(({ bytes }) => bytes));
}

/** Segments of the blocks that stay, with the model's block numbers. */
function residentSegments(model: Model, { resident }: DevicePlan, cut: CutOptions): Segment[] {
  return cutSegments(model, cut).filter(({ block }) => resident[block]);
}

function blockSizes(
  blocks: readonly Block[],
  device: DeviceGrant,
  {
    contextLength,
    sequences = 1,
    cut,
  }: Pick<PlanOptions, 'contextLength' | 'sequences'> & { readonly cut: CutOptions },
): BlockSize[] {
  const partsOf = graphCutter(cut);
  const known = new Map<string, BlockSize>();
  return blocks.map(({ graph }) => {
    const size = known.get(graph.key) ?? measure(graph);
    known.set(graph.key, size);
    return size;
  });

  function measure(graph: Graph): BlockSize {
    const own = partsOf(graph).filter(({ from }) => graph.ops[from]!.op !== 'expert');
    const experts = graph.ops.flatMap((op) =>
      op.op === 'expert' ? [{ ...op, parts: partsOf(op.graph).map((part) => [op.graph, part] as const) }] : [],
    );
    const parts = [...own.map((part) => [graph, part] as const), ...experts.flatMap((expert) => expert.parts)];
    const bytes = own.map((part) => device.uploadBytes(graph, part));
    const most = (some: typeof parts) => some.map(([of, part]) => device.mostUploadBytes(of, part));
    const total = (sizes: readonly number[]) => sizes.reduce((all, size) => all + size, 0);
    const state = sequences * graph.states.reduce((all, spec) => all + device.stateBytes(spec, contextLength), 0);
    return {
      weights: total(bytes),
      routed: experts.length > 0,
      state: device.statesOnHost ? 0 : state,
      hostState: device.statesOnHost ? state : 0,
      part: Math.max(0, ...parts.map(([of, part]) => device.uploadBytes(of, part))),
      mostPart: Math.max(0, ...most(parts)),
      most:
        total(most(own.map((part) => [graph, part] as const))) +
        experts.reduce((all, { expertCount, parts: some }) => all + expertCount * total(most(some)), 0),
    };
  }
}

/** As many blocks from the model's end as fit with weights and states. */
function lastThatFit(sizes: readonly BlockSize[], bytes: number): boolean[] {
  let left = bytes;
  let from = sizes.length;
  while (from > 0) {
    const { weights, state, routed } = sizes[from - 1]!;
    left -= weights + state;
    if (left < 0 || routed) break;
    from--;
  }
  return sizes.map((_, b) => b >= from);
}

/** Of the blocks a device computes those that stay there, spread evenly, and what uploading the others takes. */
function residentBlocks(
  sizes: readonly BlockSize[],
  computes: readonly boolean[],
  bytes: number,
): { resident: boolean[]; staging: number } {
  const mayStay = sizes.map(({ routed }, b) => computes[b]! && !routed);
  const all = sizes.some(({ routed }, b) => computes[b] && routed)
    ? Number.POSITIVE_INFINITY
    : sum(
        sizes.filter((_, b) => computes[b]),
        'weights',
      );
  const used = sizes.filter((_, b) => computes[b]);
  const staging = STAGED_PARTS * Math.max(...used.map(({ mostPart }) => mostPart));
  // Where numbers may turn out to need more, some of them have to be uploaded in each pass.
  const least = used.some(({ part, mostPart }) => mostPart > part) ? staging : 0;
  if (all + least <= bytes) return { resident: [...computes], staging: least };
  const candidates = sizes.filter((_, b) => mayStay[b]).map(({ weights }) => ({ bytes: weights }));
  const chosen = choosePinned(candidates, Math.max(0, bytes - staging));
  return { resident: mayStay.map((may) => may && chosen.shift()!), staging };
}

function activationsOf(model: Model, device: DeviceGrant, options: DeviceOptions): number {
  return device.activationBytes(passesOf(model, options), options.contextLength);
}

/** Passes through each distinct graph, in every way it may be cut. */
function passesOf({ layers, head }: Model, options: DeviceOptions): GraphPasses[] {
  const graphs = new Map(layers.map(({ graph }) => [graph.key, { graph, maxRows: options.maxRows }]));
  graphs.set(`head ${head.graph.key}`, { graph: head.graph, maxRows: Math.min(options.maxRows, options.logitRows) });
  return options.segmentSizes.flatMap((segmentBytes) => {
    const partsOf = graphCutter({ ...options.cut, segmentBytes });
    return [...graphs.values()].map(({ graph, maxRows }) => ({
      graph,
      maxRows,
      parts: partsOf(graph).flatMap((part) => {
        const op = graph.ops[part.from]!;
        if (op.op !== 'expert') return [part];
        return partsOf(op.graph).map((inner) => ({ ...part, expert: { id: 0, part: inner } }));
      }),
    }));
  });
}

function stateless(block: Block): Block {
  return { ...block, graph: { ...block.graph, states: [] } };
}

/** Its values still come back to the host. */
function weightless(block: Block): Block {
  const { graph } = block;
  return { ...block, graph: { ...graph, ops: [], weights: [], key: `${graph.key} on a device` }, weights: [] };
}

function sum<Key extends string>(items: readonly Readonly<Record<Key, number>>[], key: Key): number {
  return items.reduce((all, item) => all + item[key], 0);
}
