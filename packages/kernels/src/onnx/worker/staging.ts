import { type DType, decodeToFloat32, dtypeBits, tensorBytes } from '@airllm/loader';
import { GraphError } from '../../errors';
import type { Graph, Part, WeightSpec } from '../../graph/graph';
import { opWeights, type WeightId } from '../../graph/ops';
import { PackedDecoder } from '../../packed/decode';
import type { ComponentName } from '../../packed/format';
import { packedForm } from '../packed-form';
import type { MemoryRef } from '../protocol';
import { PIECE_BYTES } from '../sizes';
import { weightsOf } from '../weights-of';
import type { Backend } from './backend';
import { bf16ToHalf, floatsToHalf } from './half';
import { bytesAt } from './memory';
import { type PackedMatrix, stagePacked } from './stage-packed';
import { buffersOf, type DensePiece, type StagedWeight } from './weights';

type Given = readonly (MemoryRef | undefined)[];

/** Brings the weights of a part into the provider's memory, in forms it computes with. */
export async function stageWeights(
  backend: Backend,
  whole: Graph,
  outer: Part,
  given: Given,
): Promise<Map<WeightId, StagedWeight>> {
  const { graph, part } = weightsOf(whole, outer);
  const staged = new Map<WeightId, StagedWeight>();
  try {
    for (const op of graph.ops.slice(part.from, part.to)) {
      for (const id of opWeights(op, graph)) {
        const components = graph.weights.some(({ packed }) => Object.values(packed?.components ?? {}).includes(id));
        if (components || staged.has(id)) continue;
        staged.set(id, await stageWeight(backend, graph, id, given, part.slice));
      }
    }
    return staged;
  } catch (error) {
    freeStaged(backend, staged.values());
    throw error;
  }
}

export function freeStaged(backend: Backend, weights: Iterable<StagedWeight>): void {
  for (const weight of weights) for (const buffer of buffersOf(weight)) backend.free(buffer);
}

async function stageWeight(
  backend: Backend,
  graph: Graph,
  id: WeightId,
  given: Given,
  slice: Part['slice'],
): Promise<StagedWeight> {
  const spec = graph.weights[id]!;
  const form = backend.packs && spec.layout === 'out,in' && spec.packed ? packedForm(spec.packed) : undefined;
  if (form !== undefined) {
    const packed = await stagePacked(backend, form, packedMatrix(graph, id, given, slice));
    if (packed !== undefined) return packed;
  }
  const source = sourceOf(graph, id, given, slice);
  const matrix = spec.layout === 'out,in' || spec.layout === 'in,out';
  const pieces: DensePiece[] = [];
  try {
    // Halves where the matrix allows it; a piece must not exceed its bound if it does not.
    const most = Math.max(1, Math.floor(PIECE_BYTES / (4 * source.columns)));
    for (let from = 0; from < source.rows; from += most) {
      const rows = Math.min(most, source.rows - from);
      const { type, data } = source.read(from, rows, matrix && backend.halfFloats);
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      pieces.push({ buffer: await backend.upload(bytes), type, rows });
    }
    return { pieces, columns: source.columns };
  } catch (error) {
    freeStaged(backend, [{ pieces, columns: source.columns }]);
    throw error;
  }
}

interface Source {
  readonly rows: number;
  readonly columns: number;
  read(
    from: number,
    rows: number,
    halves: boolean,
  ): { readonly type: DensePiece['type']; readonly data: Float32Array | Uint16Array };
}

function sourceOf(graph: Graph, id: WeightId, given: Given, slice: Part['slice']): Source {
  const spec = graph.weights[id]!;
  return spec.packed === undefined
    ? denseSource(spec, id, given, slice)
    : packedSource(packedMatrix(graph, id, given, slice));
}

function denseSource(spec: WeightSpec, id: WeightId, given: Given, slice: Part['slice']): Source {
  const { dtype, shape, layout } = spec;
  const memory = takeGiven(given, id, shape);
  const columns = shape.at(-1)!;
  const rowBytes = (columns * dtypeBits(dtype)) / 8;
  const sliced = layout === 'out,in' || layout === 'in,out' ? slice : undefined;
  const whole = layout === 'rows' ? memory.length / rowBytes : shape.length === 1 ? 1 : shape[0]!;
  return {
    rows: sliced === undefined ? whole : sliced.to - sliced.from,
    columns,
    read: (from, rows, halves) =>
      convert(dtype, bytesAt(memory, from * rowBytes, rows * rowBytes), rows * columns, halves),
  };
}

function convert(dtype: DType, bytes: Uint8Array, count: number, halves: boolean): ReturnType<Source['read']> {
  if (halves && dtype !== 'F32') {
    const stored = new Uint16Array(bytes.slice().buffer);
    const data = dtype === 'F16' ? stored : bf16ToHalf(stored);
    if (data !== undefined) return { type: 'float16', data };
  }
  return { type: 'float32', data: decodeToFloat32(dtype, bytes, count) };
}

function packedMatrix(graph: Graph, id: WeightId, given: Given, slice: Part['slice']): PackedMatrix {
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
  return { source, decoder: new PackedDecoder(source), rows: rows - source.firstRow };
}

function packedSource({ source, decoder, rows: all }: PackedMatrix): Source {
  const { columns, firstRow } = source;
  return {
    rows: all,
    columns,
    read(from, rows, halves) {
      const values = new Float32Array(rows * columns);
      for (let r = 0; r < rows; r++) {
        decoder.row(firstRow + from + r, values.subarray(r * columns, (r + 1) * columns));
      }
      const data = halves ? floatsToHalf(values) : undefined;
      return data === undefined ? { type: 'float32', data: values } : { type: 'float16', data };
    },
  };
}

function takeGiven(given: Given, id: WeightId, shape: readonly number[]): MemoryRef {
  const memory = given[id];
  if (memory !== undefined) return memory;
  throw new GraphError('weights', `weight ${id} [${shape.join(', ')}] was not given`);
}
