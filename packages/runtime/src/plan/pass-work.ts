import type { Graph, WeightId, WeightSpec } from '@airllm/kernels';
import { dtypeBits } from '@airllm/loader';
import type { Model } from '../models/model';
import type { Plan, Segment, WeightExtent } from './types';

/** What a segment asks of the machine in one pass; of routed experts what is to be expected. */
export interface SegmentWork {
  readonly readBytes: number;
  /** What it takes of the ring while it is there; 0 for what has a place of its own. */
  readonly ringBytes: number;
  /** Read only once the segment before it has run. */
  readonly onDemand: boolean;
  /** Bytes of weights that are computed with. */
  readonly bytes: number;
  /** A multiplication and an addition count as two. */
  readonly flops: number;
  /** A device computes it. */
  readonly onDevice: boolean;
  /** Bytes of weights that are brought to the device for it. */
  readonly uploadBytes: number;
  /** Parts run, and ops in them. */
  readonly calls: number;
  readonly ops: number;
}

export interface PassRowCounts {
  readonly rows: number;
  /** Rows that want logits. */
  readonly headRows: number;
  /** What will stay in memory has yet to be read. */
  readonly first: boolean;
}

const NO_WORK: SegmentWork = {
  readBytes: 0,
  ringBytes: 0,
  onDemand: false,
  bytes: 0,
  flops: 0,
  onDevice: false,
  uploadBytes: 0,
  calls: 0,
  ops: 0,
};

/** The work of a plan's segments, in order. Routed experts count as chosen evenly and independently of each other. */
export function passWork(plan: Plan, model: Model, counts: PassRowCounts): SegmentWork[] {
  const blocks = [...model.layers, model.head];
  const held = heldShare(plan);
  return plan.segments.map((segment) => {
    const { graph } = blocks[segment.block]!;
    const rows = segment.block === model.layers.length ? Math.min(counts.rows, counts.headRows) : counts.rows;
    const onDevice = plan.device?.computes[segment.block] === true;
    if (segment.experts !== undefined) {
      const work = expertWork(segment, graph, rows, counts.first ? 0 : held);
      return { ...work, onDevice, uploadBytes: onDevice ? work.bytes : 0 };
    }
    // The head of a pass whose logits nobody wants.
    if (rows === 0) return NO_WORK;
    const { bytes, elements } = sizeOf(segment.weights, graph);
    const pinned = plan.pinned[segment.index] === true;
    const stays = plan.device?.resident[segment.index] === true;
    return {
      readBytes: counts.first || !(pinned || stays) ? segment.bytes : 0,
      ringBytes: pinned ? 0 : segment.bytes,
      onDemand: false,
      bytes,
      flops: 2 * elements * rows,
      onDevice,
      uploadBytes: onDevice && (counts.first || !stays) ? bytes : 0,
      calls: 1,
      ops: segment.part.to - segment.part.from,
    };
  });
}

/** Of a row's arithmetic, the share that its logits take. */
export function headShare(model: Model, plan: Plan): number {
  const work = passWork(plan, model, { rows: 1, headRows: 1, first: false });
  const flops = (from: readonly SegmentWork[]) => from.reduce((sum, each) => sum + each.flops, 0);
  const all = flops(work);
  return all === 0 ? 0 : flops(work.filter((_, i) => plan.segments[i]!.block === model.layers.length)) / all;
}

function expertWork(
  segment: Segment,
  graph: Graph,
  rows: number,
  held: number,
): Omit<SegmentWork, 'onDevice' | 'uploadBytes'> {
  const op = graph.ops[segment.part.from];
  if (op?.op !== 'expert') throw new Error(`segment ${segment.index} is not one of experts`);
  const experts = segment.experts!;
  // Those that at least one of the rows chooses.
  const chosen = experts.length * (1 - (1 - op.topK / experts.length) ** rows);
  // All experts of a layer are of one size.
  const parts = experts[0]!;
  const sizes = parts.map(({ weights }) => sizeOf(weights, op.graph));
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    readBytes: chosen * (1 - held) * sum(parts.map(({ bytes }) => bytes)),
    ringBytes: 0,
    onDemand: true,
    bytes: chosen * sum(sizes.map(({ bytes }) => bytes)),
    flops: 2 * rows * op.topK * sum(sizes.map(({ elements }) => elements)),
    calls: chosen * parts.length,
    ops: chosen * op.graph.ops.length,
  };
}

/** Share of all experts' parts that slots hold. */
function heldShare(plan: Plan): number {
  const parts = expertParts(plan);
  return parts === 0 ? 1 : Math.min(1, plan.expertSlots.count / parts);
}

/** Parts of routed experts, over all layers. */
export function expertParts({ segments }: Plan): number {
  return segments.reduce((sum, { experts }) => sum + (experts?.flat().length ?? 0), 0);
}

function sizeOf(weights: readonly WeightExtent[], graph: Graph): { bytes: number; elements: number } {
  let bytes = 0;
  let elements = 0;
  for (const { weight, extent } of weights) {
    bytes += extent.length;
    elements += elementsOf(graph, weight, extent.length);
  }
  return { bytes, elements };
}

/** Weights in so many bytes of a tensor; of a packed matrix its codes count, and nothing else. */
function elementsOf(graph: Graph, weight: WeightId, bytes: number): number {
  const { dtype, shape, packed, layout } = graph.weights[weight]!;
  if (packed !== undefined) return (bytes / shape[1]!) * packed.columns;
  const component = layout === 'whole' || graph.weights.some((other) => holds(other, weight));
  return component ? 0 : (bytes * 8) / dtypeBits(dtype);
}

function holds({ packed }: WeightSpec, weight: WeightId): boolean {
  return packed !== undefined && Object.values(packed.components).includes(weight);
}
