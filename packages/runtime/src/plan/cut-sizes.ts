import type { Graph } from '@airllm/kernels';
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
  const spans = (graph: Graph) => partsOf(graph).map((part) => worstPartBytes(graph, part, options.readAlignment));
  const known = new Map<string, Omit<CutSizes, 'segmentBytes'>>();
  const measure = (graph: Graph): Omit<CutSizes, 'segmentBytes'> => {
    const own = spans(graph);
    const experts = graph.ops.flatMap((op) =>
      op.op === 'expert' ? [{ count: op.expertCount, spans: spans(op.graph) }] : [],
    );
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
  for (const { graph } of [...model.layers, model.head]) {
    const sizes = known.get(graph.key) ?? measure(graph);
    known.set(graph.key, sizes);
    staticBytes += sizes.staticBytes;
    largest = Math.max(largest, sizes.largest);
    parts += sizes.experts.parts;
    largestExpert = Math.max(largestExpert, sizes.experts.largest);
  }
  return { segmentBytes: options.segmentBytes, staticBytes, largest, experts: { parts, largest: largestExpert } };
}
