import { tensorBytes } from '@airllm/loader';
import type { Graph, Part } from '../../graph/graph';
import type { WeightId } from '../../graph/ops';
import { PackedDecoder, type PackedSource } from '../../packed/decode';
import type { ComponentName } from '../../packed/format';
import { type Given, takeGiven } from './given';
import { bytesAt } from './memory';

/** A quantised matrix of a graph, or a range of its rows, as it lies in the host's memory. */
export class PackedMatrix {
  readonly graph: Graph;
  readonly weight: WeightId;
  readonly source: PackedSource;
  /** That were given. */
  readonly rows: number;
  #decoder: PackedDecoder | undefined;

  constructor(graph: Graph, weight: WeightId, source: PackedSource, rows: number) {
    this.graph = graph;
    this.weight = weight;
    this.source = source;
    this.rows = rows;
  }

  /** Made when it is needed: it reads all scales. */
  get decoder(): PackedDecoder {
    this.#decoder ??= new PackedDecoder(this.source);
    return this.#decoder;
  }
}

export function packedMatrix(graph: Graph, id: WeightId, given: Given, slice: Part['slice']): PackedMatrix {
  const spec = graph.weights[id]!;
  const { format, columns, components } = spec.packed!;
  const bytes: Partial<Record<ComponentName, Uint8Array>> = { codes: bytesAt(takeGiven(given, id, spec.shape)) };
  const rowwise = new Set<ComponentName>(['codes']);
  for (const [name, weight] of Object.entries(components) as [ComponentName, WeightId][]) {
    const component = graph.weights[weight]!;
    bytes[name] = bytesAt(takeGiven(given, weight, component.shape));
    if (component.layout === 'out,in' || component.layout === 'rows') rowwise.add(name);
  }
  const source = { format, columns, firstRow: slice?.from ?? 0, bytes, rowwise };
  const codeRow = tensorBytes(spec.dtype, spec.shape) / spec.shape[0]!;
  const rows = spec.layout === 'rows' ? bytes.codes!.byteLength / codeRow : (slice?.to ?? spec.shape[0]!);
  return new PackedMatrix(graph, id, source, rows - source.firstRow);
}
