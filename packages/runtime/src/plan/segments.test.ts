import type { Graph, Part } from '@airllm/kernels';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { laidOut } from '../testing/laid-out';
import { tinyConfig } from '../testing/tiny-configs';
import { cutSegments, spanOf } from './segments';
import type { WeightExtent } from './types';

/** What parts run, in order: `op`, or `op:from-to` for rows of a sliced one, slices that follow each other joined. */
function covered(graph: Graph, parts: readonly Part[]): string[] {
  const run: string[] = [];
  let open: { op: number; from: number; to: number } | undefined;
  const close = () => {
    if (open) run.push(`${open.op}:${open.from}-${open.to}`);
    open = undefined;
  };
  for (const { from, to, slice } of parts) {
    if (slice === undefined) {
      close();
      for (let op = from; op < to; op++) run.push(`${op}`);
      continue;
    }
    expect([graph.ops[from]!.op, to - from]).toEqual(['linear', 1]);
    if (open?.op === from && open.to === slice.from) open.to = slice.to;
    else {
      close();
      open = { op: from, ...slice };
    }
  }
  close();
  return run;
}

/** What `covered` must be: every op once, in order, with all rows of a sliced one. */
function everything(graph: Graph, parts: readonly Part[]): string[] {
  const sliced = new Set(parts.flatMap((part) => (part.slice ? [part.from] : [])));
  return graph.ops.map((op, i) =>
    sliced.has(i) && op.op === 'linear' ? `${i}:0-${graph.weights[op.weight]!.shape[0]}` : `${i}`,
  );
}

/** The bytes of each weight but biases, put together again. */
function joined(weights: readonly WeightExtent[]): Map<number, { offset: number; length: number }> {
  const whole = new Map<number, { offset: number; length: number }>();
  for (const { weight, extent } of weights) {
    const known = whole.get(weight);
    if (known === undefined) whole.set(weight, { offset: extent.offset, length: extent.length });
    else if (extent.offset !== known.offset) {
      expect(extent.offset).toBe(known.offset + known.length);
      known.length += extent.length;
    }
  }
  return whole;
}

test('segments run every op and read every weight exactly once, within the limit', () => {
  fc.assert(
    fc.property(
      tinyConfig,
      fc.integer({ min: 100, max: 200_000 }),
      fc.constantFrom(1, 512, 4096),
      (rawConfig, segmentBytes, readAlignment) => {
        const model = laidOut(rawConfig);
        const segments = cutSegments(model, { segmentBytes, readAlignment });
        const blocks = [...model.layers, model.head];
        expect(segments.map(({ index }) => index)).toEqual(segments.map((_, i) => i));
        expect([...segments].sort((a, b) => a.block - b.block || a.index - b.index)).toEqual(segments);

        blocks.forEach(({ graph, weights, experts }, index) => {
          const own = segments.filter(({ block }) => block === index);
          const parts = own.map(({ part }) => part);
          expect(covered(graph, parts)).toEqual(everything(graph, parts));
          const read = joined(own.flatMap((segment) => segment.weights));
          expect(read.size).toBe(weights.length);
          for (const [id, { offset, length }] of read) expect(weights[id]!.extent).toMatchObject({ offset, length });

          for (const { part, experts: cut, bytes, weights: extents } of own) {
            const ops = graph.ops.slice(part.from, part.to);
            expect(ops.findIndex(({ op }) => op === 'route') + 1).toSatisfy(
              (end: number) => end === 0 || end === ops.length,
            );
            expect(bytes).toBe(extents.reduce((sum, { extent }) => sum + spanOf(extent, readAlignment), 0));
            expect(ops.some(({ op }) => op === 'expert')).toBe(cut !== undefined);
            if (cut === undefined) continue;
            expect(ops).toHaveLength(1);
            const [op] = ops;
            if (op?.op !== 'expert') throw new Error('not an expert');
            cut.forEach((expert, id) => {
              const inner = expert.map(({ part }) => part.expert!.part ?? { from: 0, to: op.graph.ops.length });
              expect(
                expert.every(
                  ({ part }) => part.expert!.id === id && part.from === parts[own.findIndex((s) => s.experts)]!.from,
                ),
              ).toBe(true);
              expect(covered(op.graph, inner)).toEqual(everything(op.graph, inner));
              const read = joined(expert.flatMap(({ weights }) => weights));
              experts.get(part.from)![id]!.forEach(({ extent }, weight) => {
                expect(extent).toMatchObject(read.get(weight)!);
              });
            });
          }
        });
      },
    ),
    { numRuns: 40 },
  );
});

test('only what cannot be cut exceeds the limit', () => {
  fc.assert(
    fc.property(tinyConfig, fc.integer({ min: 8_000, max: 200_000 }), (rawConfig, segmentBytes) => {
      const model = laidOut(rawConfig);
      for (const segment of cutSegments(model, { segmentBytes, readAlignment: 1 })) {
        const rows = segment.part.slice ? segment.part.slice.to - segment.part.slice.from : Infinity;
        if (rows > 1 && segment.part.to - segment.part.from > 1)
          expect(segment.bytes).toBeLessThanOrEqual(segmentBytes);
      }
    }),
    { numRuns: 30 },
  );
});

test('a layer that fits is one segment, and so is the head', () => {
  const model = laidOut({
    model_type: 'llama',
    hidden_size: 64,
    num_attention_heads: 4,
    intermediate_size: 96,
    num_hidden_layers: 3,
    vocab_size: 100,
  });
  const segments = cutSegments(model, { segmentBytes: 2 ** 20, readAlignment: 4096 });
  expect(segments.map(({ block, part }) => [block, part])).toEqual(
    [...model.layers, model.head].map(({ graph }, i) => [i, { from: 0, to: graph.ops.length }]),
  );
});

test('a matrix is sliced in multiples of 16 rows where 16 rows fit', () => {
  const model = laidOut({
    model_type: 'llama',
    hidden_size: 64,
    num_attention_heads: 4,
    intermediate_size: 1000,
    num_hidden_layers: 1,
    vocab_size: 1000,
  });
  const slices = cutSegments(model, { segmentBytes: 10_000, readAlignment: 1 }).flatMap(({ part }) => part.slice ?? []);
  // down_proj's rows are 2000 bytes: four or five fit.
  const wide = slices.filter(({ from, to }) => to - from > 8);
  expect(wide.length).toBeGreaterThan(20);
  for (const { from } of wide) expect(from % 16).toBe(0);
  expect(slices.length).toBeGreaterThan(wide.length);
});
