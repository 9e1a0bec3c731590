import type { Block, Graph, Part } from '@airllm/kernels';
import type { Model } from '../models/model';
import { graphCutter } from './segments';
import type { DeviceGrant, GraphPasses, PlanOptions } from './types';

/** What a plan for a device is made from beside its grant. */
export interface DeviceOptions extends Pick<PlanOptions, 'contextLength' | 'sequences'> {
  readonly maxRows: number;
  /** Rows whose logits are computed together. */
  readonly logitRows: number;
  readonly readAlignment: number;
  /** Bytes of segments that blocks are cut into. */
  readonly segmentBytes: number;
  /** Bytes of segments that routed experts may be cut into, as the host's memory asks for. */
  readonly expertBytes: readonly number[];
}

/** A block as a device sees it; sizes are bytes there. */
export interface DeviceBlock {
  /** What it is cut into, in order. */
  readonly parts: readonly DevicePart[];
  readonly weights: number;
  /** It has routed experts, which are brought when they are chosen and never stay. */
  readonly routed: boolean;
  /** Zero where it is the host's. */
  readonly state: number;
  readonly hostState: number;
  /** Of its parts, experts' included, the largest, as its numbers are expected to be kept and at most. */
  readonly part: number;
  readonly mostPart: number;
  /** All that may be uploaded of it, experts included. */
  readonly most: number;
}

export interface DevicePart {
  readonly part: Part;
  readonly bytes: number;
  /** False for routed experts. */
  readonly mayStay: boolean;
}

export function deviceBlocks(
  { layers, head }: Pick<Model, 'layers' | 'head'>,
  device: DeviceGrant,
  { contextLength, sequences = 1, expertBytes, ...cut }: DeviceOptions,
): DeviceBlock[] {
  const partsOf = graphCutter(cut);
  const expertPartsOf = graphCutter({ ...cut, segmentBytes: Math.max(...expertBytes) });
  const known = new Map<string, DeviceBlock>();
  return [...layers, head].map(({ graph }) => {
    const block = known.get(graph.key) ?? measure(graph);
    known.set(graph.key, block);
    return block;
  });

  function measure(graph: Graph): DeviceBlock {
    const parts = partsOf(graph).map((part): DevicePart => {
      const mayStay = graph.ops[part.from]!.op !== 'expert';
      return { part, bytes: mayStay ? device.uploadBytes(graph, part) : 0, mayStay };
    });
    const own = parts.filter(({ mayStay }) => mayStay);
    const experts = graph.ops.flatMap((op) =>
      op.op === 'expert' ? [{ graph: op.graph, count: op.expertCount, parts: expertPartsOf(op.graph) }] : [],
    );
    const ofExperts = (bytes: DeviceGrant['uploadBytes']) =>
      experts.map((expert) => expert.parts.map((part) => bytes(expert.graph, part)));
    const most = own.map(({ part }) => device.mostUploadBytes(graph, part));
    const mostOfExperts = ofExperts((of, part) => device.mostUploadBytes(of, part));
    const state = sequences * graph.states.reduce((all, spec) => all + device.stateBytes(spec, contextLength), 0);
    const bytes = own.map((part) => part.bytes);
    return {
      parts,
      weights: total(bytes),
      routed: experts.length > 0,
      state: device.statesOnHost ? 0 : state,
      hostState: device.statesOnHost ? state : 0,
      part: Math.max(0, ...bytes, ...ofExperts((of, part) => device.uploadBytes(of, part)).flat()),
      mostPart: Math.max(0, ...most, ...mostOfExperts.flat()),
      most: experts.reduce((all, { count }, e) => all + count * total(mostOfExperts[e]!), total(most)),
    };
  }
}

/** Passes through each distinct graph, in every way its experts may be cut. */
export function devicePasses({ layers, head }: Pick<Model, 'layers' | 'head'>, options: DeviceOptions): GraphPasses[] {
  const { maxRows, logitRows, expertBytes } = options;
  const cutters = expertBytes.map((segmentBytes) => graphCutter({ ...options, segmentBytes }));
  const partsOf = graphCutter(options);
  const throughEach = (blocks: readonly Block[], rows: number) =>
    [...new Map(blocks.map(({ graph }) => [graph.key, graph])).values()].flatMap((graph) => {
      const whole = partsOf(graph);
      const expertGraph = (part: Part) => {
        const op = graph.ops[part.from]!;
        return op.op === 'expert' ? op.graph : undefined;
      };
      const ways = whole.some((part) => expertGraph(part) !== undefined) ? cutters : cutters.slice(0, 1);
      return ways.map((cut): GraphPasses => {
        const parts = whole.flatMap((part) => {
          const inner = expertGraph(part);
          return inner === undefined ? [part] : cut(inner).map((of) => ({ ...part, expert: { id: 0, part: of } }));
        });
        return { graph, maxRows: rows, parts };
      });
    });
  return [...throughEach(layers, maxRows), ...throughEach([head], Math.min(maxRows, logitRows))];
}

function total(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}
