import { closeSync, openSync, readSync } from 'node:fs';
import {
  BlockPool,
  createState,
  type Executor,
  type LayerState,
  type Part,
  type PassRows,
  type WeightBytes,
} from '@airllm/kernels';
import { type Extent, HostBuffer } from '@airllm/loader';
import type { Model } from '../models/model';
import type { Segment, WeightExtent } from '../plan/types';

/**
 * Logits `[ids.length, vocabSize]` of one pass over `ids`, run segment by segment with every extent read where it is
 * needed: the shortest way from a model and its cut to numbers, for checking both without an engine.
 */
export async function runSegments(
  executor: Executor,
  model: Model,
  segments: readonly Segment[],
  ids: readonly number[],
): Promise<Float32Array> {
  const blocks = [...model.layers, model.head];
  const count = ids.length;
  const rows: PassRows = {
    count,
    sequence: new Int32Array(count),
    position: Int32Array.from(ids, (_, i) => i),
    visibleFrom: new Int32Array(count),
    ropeLength: new Int32Array(count).fill(count),
  };
  const { hiddenSize, vocabSize } = model.config;
  const carry = new Map([
    ['hidden', HostBuffer.allocate(4 * count * hiddenSize)],
    ['logits', HostBuffer.allocate(4 * count * vocabSize)],
  ]);
  const programs = blocks.map((block) => executor.compile(block.graph));
  const embedding = executor.compile(model.embedding.graph);
  const most = Math.max(64, ...[...programs, embedding].map((program) => program.workspaceBytes(count)));
  const workspace = HostBuffer.allocate(most);
  const pool = new BlockPool();
  const states = blocks.map((block) => block.graph.states.map((spec): LayerState[] => [createState(pool, spec)]));
  for (const [state] of states.flat()) state!.reserve(count);

  const part: Part = { from: 0, to: model.embedding.graph.ops.length };
  const call = { rows, carry, workspace, maxRows: count };
  await embedding.run({ ...call, part, weights: gather(model, ids), states: [] });
  let routes: Int32Array | undefined;
  for (const segment of segments) {
    const program = programs[segment.block]!;
    const run = (part: Part, weights: readonly WeightExtent[]) =>
      program.run({ ...call, part, weights: load(weights), states: states[segment.block]! });
    if (segment.experts === undefined) {
      ({ routes } = await run(segment.part, segment.weights));
      continue;
    }
    for (const id of new Set(routes)) {
      for (const expert of segment.experts[id]!) await run(expert.part, expert.weights);
    }
  }
  return carry
    .get('logits')!
    .float32(0, count * vocabSize)
    .slice();
}

function gather(model: Model, ids: readonly number[]): WeightBytes[] {
  return model.embedding.graph.ops.flatMap((op) => {
    if (op.op !== 'embed') return [];
    const tensor = model.embedding.weights[op.weight]!;
    const length = tensor.byteLength / tensor.shape[0]!;
    const { file, offset } = tensor.extent!;
    const buffer = HostBuffer.allocate(length * ids.length);
    ids.forEach((id, i) => {
      const row = (op.by === 'token' ? id : i) + op.shift;
      read({ file, offset: offset + row * length, length }, buffer, i * length);
    });
    return [{ buffer, offset: 0 }];
  });
}

function load(weights: readonly WeightExtent[]): (WeightBytes | undefined)[] {
  const sparse: (WeightBytes | undefined)[] = [];
  for (const { weight, extent } of weights) {
    const buffer = HostBuffer.allocate(extent.length);
    read(extent, buffer, 0);
    sparse[weight] = { buffer, offset: 0 };
  }
  return sparse;
}

function read(extent: Extent, into: HostBuffer, at: number): void {
  const fd = openSync(extent.file, 'r');
  try {
    const bytes = readSync(fd, into.bytes(at, extent.length), 0, extent.length, extent.offset);
    if (bytes !== extent.length) throw new Error(`${extent.file}: ${bytes} of ${extent.length} bytes`);
  } finally {
    closeSync(fd);
  }
}
