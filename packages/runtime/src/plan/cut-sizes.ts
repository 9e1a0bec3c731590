import type { Graph, Part } from '@airllm/kernels';
import type { Model } from '../models/model';
import { type CutOptions, graphCutter, worstPartBytes } from './segments';

/**
 * How large the pieces of a cut may be, wherever the tensors lie in their files. Counted per distinct graph, so that a
 * plan can compare many cuts of a model of 50,000 segments without making them.
 */
export interface CutSizes {
  readonly segmentBytes: number;
  /** All segments but routed experts. */
  readonly staticBytes: number;
  readonly largest: number;
  /** Parts of routed experts, over all layers. */
  readonly experts: { readonly parts: number; readonly largest: number };
}

export function cutSizes(model: Model, options: CutOptions): CutSizes {
  const partsOf = graphCutter(options);
  const known = new Map<string, Omit<CutSizes, 'segmentBytes'>>();
  const spans = (graph: Graph, parts: readonly Part[]) =>
    parts.map((part) => worstPartBytes(graph, part, options.readAlignment));
  const measure = (graph: Graph, parts: readonly Part[]): Omit<CutSizes, 'segmentBytes'> => {
    const own = spans(graph, parts);
    const experts = parts.flatMap(({ from }) => {
      const op = graph.ops[from]!;
      return op.op === 'expert' ? [{ count: op.expertCount, spans: spans(op.graph, partsOf(op.graph)) }] : [];
    });
    return {
      staticBytes: own.reduce((sum, bytes) => sum + bytes, 0),
      largest: Math.max(0, ...own),
      experts: {
        parts: experts.reduce((sum, expert) => sum + expert.count * expert.spans.length, 0),
        largest: Math.max(0, ...experts.flatMap((expert) => expert.spans)),
      },
    };
  };
  let staticBytes = 0;
  let largest = 0;
  let parts = 0;
  let largestExpert = 0;
  for (const [block, { graph }] of [...model.layers, model.head].entries()) {
    const given = options.given?.(block);
    const sizes = (given ? undefined : known.get(graph.key)) ?? measure(graph, given ?? partsOf(graph));
    if (!given) known.set(graph.key, sizes);
    staticBytes += sizes.staticBytes;
    largest = Math.max(largest, sizes.largest);
    parts += sizes.experts.parts;
    largestExpert = Math.max(largestExpert, sizes.experts.largest);
  }
  return { segmentBytes: options.segmentBytes, staticBytes, largest, experts: { parts, largest: largestExpert } };
}
