import { type Graph, isSliced, type LinearOp, type Op, opWeights, type Part } from '@airllm/kernels';
import { type Extent, type MetaTensor, tensorBytes } from '@airllm/loader';
import type { Model } from '../models/model';
import type { ExpertSegment, Segment, WeightExtent } from './types';

export interface CutOptions {
  /** Most bytes of weights a segment should hold; one row of a matrix, and an op that cannot be sliced, may exceed it. */
  readonly segmentBytes: number;
  /** Start alignment and length granularity of reads, in bytes: a power of two. */
  readonly readAlignment: number;
  /** By block, the parts there are of it, whatever their size. @defaultValue all that it is cut into */
  readonly given?: ((block: number) => readonly Part[] | undefined) | undefined;
}

/**
 * Rows per slice come in multiples of this where the limit allows, so that kernels' blocks of rows stay whole and a slice
 * ends in the middle of a cache line or page as rarely as possible.
 */
const SLICE_ROWS = 16;

/**
 * Cuts a model into the runs of ops whose weights are loaded together, in the order they run: layers, then head. (Rows
 * of the embedding are read one by one.) A layer that fits is one segment; one that does not is cut between ops, and a
 * matrix that does not fit between its rows. A segment ends at a router, and routed experts are a segment of their own.
 */
export function cutSegments(model: Model, options: CutOptions): Segment[] {
  const partsOf = graphCutter(options);
  const segments: Segment[] = [];
  [...model.layers, model.head].forEach((block, index) => {
    for (const part of options.given?.(index) ?? partsOf(block.graph)) {
      const op = block.graph.ops[part.from]!;
      const fields = { index: segments.length, block: index, part };
      if (op.op === 'expert') {
        const experts = block.experts.get(part.from)!.map((tensors, id) => {
          const whole = partsOf(op.graph);
          return whole.map((inner): ExpertSegment => {
            const expert = whole.length === 1 ? { id } : { id, part: inner };
            return { part: { ...part, expert }, ...place(op.graph, inner, tensors, options.readAlignment) };
          });
        });
        segments.push({ ...fields, weights: [], bytes: 0, experts });
      } else {
        segments.push({ ...fields, ...place(block.graph, part, block.weights, options.readAlignment) });
      }
    }
  });
  return segments;
}

/** Cuts graphs into parts by worst-case sizes, each distinct graph once, so that all its blocks are cut alike. */
export function graphCutter(options: CutOptions): (graph: Graph) => readonly Part[] {
  const known = new Map<string, readonly Part[]>();
  return (graph) => {
    const parts = known.get(graph.key) ?? cutGraph(graph, options);
    known.set(graph.key, parts);
    return parts;
  };
}

/** Bytes the weights of a part may occupy, wherever they lie in their files. */
export function worstPartBytes(graph: Graph, part: Part, alignment: number): number {
  let bytes = 0;
  for (const op of graph.ops.slice(part.from, part.to)) {
    for (const id of loaded(graph, op)) {
      const length = weightBytes(graph, id);
      const spec = graph.weights[id]!;
      const rows = part.slice !== undefined && isSliced(spec) ? part.slice.to - part.slice.from : undefined;
      bytes += worstSpan(rows === undefined ? length : rows * (length / spec.shape[0]!), alignment);
    }
  }
  return bytes;
}

/** Bytes a read of `length` bytes may occupy wherever it starts. */
export function worstSpan(length: number, alignment: number): number {
  return alignment === 1 ? length : Math.ceil(length / alignment) * alignment + alignment;
}

/** Bytes a read of an extent occupies: its start aligned down, its end aligned up. */
export function spanOf(extent: Extent, alignment: number): number {
  const start = Math.floor(extent.offset / alignment) * alignment;
  return Math.ceil((extent.offset + extent.length) / alignment) * alignment - start;
}

function cutGraph(graph: Graph, options: CutOptions): Part[] {
  const parts: Part[] = [];
  let from = 0;
  let bytes = 0;
  const close = (to: number) => {
    if (to > from) parts.push({ from, to });
    from = to;
    bytes = 0;
  };
  graph.ops.forEach((op, i) => {
    const own = opBytes(graph, op, options.readAlignment);
    const alone = op.op === 'expert' || (op.op === 'linear' && own > options.segmentBytes);
    // Ops without weights ride with what came before them.
    if (alone || (own > 0 && bytes + own > options.segmentBytes)) close(i);
    if (op.op === 'linear' && alone) {
      for (const slice of sliceLinear(graph, op, options)) parts.push({ from: i, to: i + 1, slice });
      from = i + 1;
      return;
    }
    bytes += own;
    if (op.op === 'expert' || op.op === 'route') close(i + 1);
  });
  close(graph.ops.length);
  return parts;
}

function opBytes(graph: Graph, op: Op, alignment: number): number {
  return loaded(graph, op).reduce((sum, id) => sum + worstSpan(weightBytes(graph, id), alignment), 0);
}

/** The weights of an op that are read from files: all but constants. */
function loaded(graph: Graph, op: Op): number[] {
  return opWeights(op, graph).filter((id) => graph.weights[id]!.layout !== 'constants');
}

function weightBytes(graph: Graph, id: number): number {
  const { dtype, shape } = graph.weights[id]!;
  return tensorBytes(dtype, shape);
}

/** Even slices of a matrix's stored rows; every slice brings the bias, and what else of it comes whole. */
function sliceLinear(graph: Graph, op: LinearOp, options: CutOptions): { from: number; to: number }[] {
  const { segmentBytes, readAlignment: alignment } = options;
  const rows = graph.weights[op.weight]!.shape[0]!;
  // Of worstSpan's rounding, what can be lost to alignment at both ends.
  const loss = alignment === 1 ? 0 : 2 * alignment;
  let rowBytes = 0;
  let fixed = 0;
  for (const id of loaded(graph, op)) {
    const sliced = isSliced(graph.weights[id]!);
    rowBytes += sliced ? weightBytes(graph, id) / rows : 0;
    fixed += sliced ? loss : worstSpan(weightBytes(graph, id), alignment);
  }
  const most = Math.max(1, Math.floor((segmentBytes - fixed) / rowBytes));
  const even = Math.ceil(rows / Math.ceil(rows / most));
  const size = most >= SLICE_ROWS ? Math.min(roundUp(even, SLICE_ROWS), roundDown(most, SLICE_ROWS)) : even;
  const slices = [];
  for (let from = 0; from < rows; from += size) slices.push({ from, to: Math.min(rows, from + size) });
  return slices;
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

function roundDown(value: number, step: number): number {
  return Math.floor(value / step) * step;
}

/** The extents a part needs, large weight first within each op, and the bytes they occupy one after the other. */
function place(
  graph: Graph,
  part: Part,
  tensors: readonly MetaTensor[],
  alignment: number,
): { weights: WeightExtent[]; bytes: number } {
  const weights: WeightExtent[] = [];
  let bytes = 0;
  for (const op of graph.ops.slice(part.from, part.to)) {
    for (const weight of loaded(graph, op)) {
      const tensor = tensors[weight]!;
      const extent = partOf(tensor, isSliced(graph.weights[weight]!) ? part.slice : undefined);
      weights.push({ weight, extent });
      bytes += tensor.extent === undefined ? worstSpan(extent.length, alignment) : spanOf(extent, alignment);
    }
  }
  return { weights, bytes };
}

/** A range of a tensor's rows, or all of it. A tensor on meta lies in no file. */
function partOf(tensor: MetaTensor, slice: Part['slice']): Extent {
  const whole = tensor.extent ?? { file: '', offset: 0, length: tensor.byteLength };
  if (slice === undefined) return whole;
  const rowBytes = tensor.byteLength / tensor.shape[0]!;
  const { file, offset } = whole;
  return { file, offset: offset + slice.from * rowBytes, length: (slice.to - slice.from) * rowBytes };
}
