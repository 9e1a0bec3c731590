import type { DevicePass } from '../executor';
import type { Graph } from '../graph/graph';
import type { AttentionOp } from '../graph/ops';
import { positionBytes, stateSlots } from './device-state';
import { heldColumns, madeColumns, type Step, stepsOf } from './held-values';
import type { Opened } from './protocol';
import { PIECE_BYTES, SCORE_BYTES, STAGED_BYTES } from './sizes';
import { storedWeights } from './stored-weights';

type Forms = Pick<Opened, 'halfFloats' | 'packs'>;

/** Values that lowering an op makes for each that the op makes: halves of a rotation, products before a sum. */
const LOWERED = 2;

/**
 * Most bytes of values on a device in such passes: those between sessions, copies of what blocks hand on, and what a
 * session makes inside, which is freed only when all of it has been computed. States have up to `length` positions.
 */
export function activationBytes(passes: readonly DevicePass[], length: number, forms: Forms): number {
  const buffers = new Map<number, number>();
  const carried = new Map<number, Set<string>>();
  let inside = 0;
  for (const { program, parts, maxRows } of passes) {
    const { graph } = program;
    for (const [columns, count] of heldColumns(graph, parts)) {
      const bytes = 4 * maxRows * columns;
      buffers.set(bytes, Math.max(count, buffers.get(bytes) ?? 0));
    }
    for (const [name, id] of [...graph.inputs, ...graph.outputs]) {
      const bytes = 4 * maxRows * graph.values[id]!.width;
      carried.set(bytes, (carried.get(bytes) ?? new Set()).add(name));
    }
    for (const part of parts) {
      const steps = stepsOf(graph, part);
      // Matrices of an expert are brought to float32 with those of its part alone.
      const casts = storedWeights(graph, part, forms).reduce((sum, { castBytes }) => sum + castBytes, 0);
      inside = Math.max(inside, ...steps.map((step) => casts + stepBytes(graph, step, maxRows, length)));
    }
  }
  const sum = (sizes: Iterable<[number, number]>) => [...sizes].reduce((all, [bytes, count]) => all + bytes * count, 0);
  const copies = [...carried].map(([bytes, names]): [number, number] => [bytes, names.size]);
  // One of them is on its way back to the host.
  const back = Math.max(0, ...carried.keys());
  return sum(buffers) + sum(copies) + back + inside;
}

function stepBytes(graph: Graph, step: Step, rows: number, length: number): number {
  const op = graph.ops[step.from]!;
  if (op.op === 'attention') return attentionBytes(graph, op, rows, length);
  const inner = op.op === 'expert' ? op.graph.values.reduce((sum, { width }) => sum + width, 0) : 0;
  return 4 * rows * LOWERED * (madeColumns(graph, step) + inner);
}

/** Scores in each of the forms they go through, filled keys as they are and turned, filled values, queries and results by head. */
function attentionBytes(graph: Graph, op: AttentionOp, rows: number, length: number): number {
  const spec = graph.states[op.state]!;
  const keys = stateSlots(spec, length);
  const row = 4 * op.heads * keys;
  const scores = Math.max(row, Math.min(SCORE_BYTES, rows * row));
  const forms = 4 + (op.softcap === undefined ? 0 : 3) + (op.sinks === undefined ? 0 : 4);
  const byHead = 2 * 4 * rows * op.heads * (spec.keyDim + spec.valueDim);
  const copies = keys * (positionBytes(spec) + 4 * spec.kvHeads * spec.keyDim);
  return forms * scores + copies + byHead;
}

/** Bytes that uploads take on their way. */
export interface TransferBytes {
  /** Of the device's memory: what is copied and not yet there. */
  readonly device: number;
  /** Of the host's: the same once more, where the device's driver has no other place for it, and what is converted. */
  readonly host: number;
}

/** Of uploads of `totalBytes` in all. */
export function transferBytes(passes: readonly DevicePass[], totalBytes: number, forms: Forms): TransferBytes {
  const weights = passes.flatMap(({ program, parts }) => {
    return parts.flatMap((part) => storedWeights(program.graph, part, forms).map(({ mostBytes }) => mostBytes));
  });
  const piece = Math.min(PIECE_BYTES, Math.max(0, ...weights));
  const sent = Math.min(totalBytes, Math.max(STAGED_BYTES, piece));
  return { device: sent, host: sent + 2 * piece };
}
