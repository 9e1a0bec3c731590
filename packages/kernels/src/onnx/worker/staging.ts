import { addressOf, dtypeBits } from '@airllm/loader';
import type { Graph, Part, WeightSpec } from '../../graph/graph';
import { opWeights, type WeightId } from '../../graph/ops';
import { packedForm } from '../packed-form';
import { PIECE_BYTES } from '../sizes';
import { weightsOf } from '../weights-of';
import type { Backend, StagingMemory } from './backend';
import { type Given, takeGiven } from './given';
import { bytesAt } from './memory';
import { countOf, type NumberReader, type Stored } from './numbers';
import { type PackedMatrix, packedMatrix } from './packed-matrix';
import { stagePacked } from './stage-packed';
import { buffersOf, type DensePiece, type DenseWeight, type StagedWeight } from './weights';

/**
 * Brings the weights of a part into the provider's memory, in forms it computes with. `lasting`: they are needed when the
 * host's memory is gone; those that are not may be used where they are.
 */
export async function stageWeights(
  backend: Backend,
  whole: Graph,
  outer: Part,
  given: Given,
  lasting = true,
): Promise<Map<WeightId, StagedWeight>> {
  const { graph, part } = weightsOf(whole, outer);
  const staged = new Map<WeightId, StagedWeight>();
  const memory = lasting ? backend.staging : (backend.passing ?? backend.staging);
  try {
    for (const op of graph.ops.slice(part.from, part.to)) {
      for (const id of opWeights(op, graph)) {
        const components = graph.weights.some(({ packed }) => Object.values(packed?.components ?? {}).includes(id));
        if (components || staged.has(id)) continue;
        const source = sourceOf(graph, id, given, part.slice);
        const lent = lasting ? undefined : lend(backend, source);
        staged.set(id, lent ?? (await stageWeight(backend, memory, graph, id, source)));
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

/** Float32 numbers need nothing, where the provider computes from the host's memory. */
function lend(backend: Backend, { rows, columns, stored }: Source): DenseWeight | undefined {
  const all = stored(0, rows);
  if (backend.borrow === undefined || !('dtype' in all) || all.dtype !== 'F32') return undefined;
  if (addressOf(all.bytes) % 4n !== 0n || 4 * columns * rows > PIECE_BYTES) return undefined;
  const { buffer, byteOffset } = all.bytes;
  const numbers = new Float32Array(buffer, byteOffset, all.count);
  return { pieces: [{ buffer: backend.borrow(numbers), type: 'float32', rows }], columns };
}

async function stageWeight(
  backend: Backend,
  memory: StagingMemory,
  graph: Graph,
  id: WeightId,
  source: Source,
): Promise<StagedWeight> {
  const spec = graph.weights[id]!;
  const form = spec.layout === 'out,in' && spec.packed ? packedForm(spec.packed, backend.packs) : undefined;
  if (form !== undefined) {
    const packed = await stagePacked(backend, memory, form, source.matrix!);
    if (packed !== undefined) return packed;
  }
  const matrix = spec.layout === 'out,in' || spec.layout === 'in,out';
  const pieces: DensePiece[] = [];
  try {
    // Halves where the matrix allows it; a piece must not exceed its bound if it does not.
    const most = Math.max(1, Math.floor(PIECE_BYTES / (4 * source.columns)));
    for (let from = 0; from < source.rows; from += most) {
      const rows = Math.min(most, source.rows - from);
      const { type, data } = read(backend.numbers, memory, source.stored(from, rows), matrix && backend.halfFloats);
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      pieces.push({ buffer: await backend.upload(bytes), type, rows });
    }
    return { pieces, columns: source.columns };
  } catch (error) {
    freeStaged(backend, [{ pieces, columns: source.columns }]);
    throw error;
  }
}

/** Numbers in the type that is wanted, or in float32 where float16 would not keep them. */
function read(
  numbers: NumberReader,
  staging: StagingMemory,
  stored: Stored,
  halves: boolean,
): { readonly type: DensePiece['type']; readonly data: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> } {
  const dtype = 'dtype' in stored ? stored.dtype : undefined;
  const count = countOf(stored);
  if (halves && dtype !== 'F32') {
    const memory = staging.room(2 * count);
    const data = 'dtype' in stored && dtype === 'F16' ? asStored(stored.bytes, memory) : numbers.halves(stored, memory);
    if (data !== undefined) return { type: 'float16', data };
  }
  return { type: 'float32', data: numbers.floats(stored, staging.room(4 * count)) };
}

function asStored(bytes: Uint8Array, memory: ArrayBuffer): Uint16Array<ArrayBuffer> {
  new Uint8Array(memory).set(bytes);
  return new Uint16Array(memory, 0, bytes.length >> 1);
}

interface Source {
  readonly rows: number;
  readonly columns: number;
  /** If it is quantised. */
  readonly matrix?: PackedMatrix;
  stored(from: number, rows: number): Stored;
}

function sourceOf(graph: Graph, id: WeightId, given: Given, slice: Part['slice']): Source {
  const spec = graph.weights[id]!;
  if (spec.packed === undefined) return denseSource(spec, id, given, slice);
  const matrix = packedMatrix(graph, id, given, slice);
  return {
    rows: matrix.rows,
    columns: matrix.source.columns,
    matrix,
    stored: (from, rows) => ({ matrix, from, rows }),
  };
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
    stored: (from, rows) => ({
      dtype,
      bytes: bytesAt(memory, from * rowBytes, rows * rowBytes),
      count: rows * columns,
    }),
  };
}
