import type { Block, Graph, Part } from '@airllm/kernels';
import type { Extent, MetaTensor } from '@airllm/loader';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { laidOut } from '../testing/laid-out';
import { tinyConfig } from '../testing/tiny-configs';
import { cutSegments, spanOf } from './segments';
import type { Segment, WeightExtent } from './types';

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
    if (graph.ops[from]!.op !== 'linear' || to !== from + 1) throw new Error(`ops ${from} to ${to} cannot be sliced`);
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

/** What is read of each weight, slices that follow each other joined; a bias that comes again counts once. */
function joined(weights: readonly WeightExtent[]): Map<number, Pick<Extent, 'offset' | 'length'>> {
  const whole = new Map<number, { offset: number; length: number }>();
  for (const { weight, extent } of weights) {
    const { offset, length } = extent;
    const known = whole.get(weight);
    if (known === undefined) whole.set(weight, { offset, length });
    else if (offset === known.offset + known.length) known.length += length;
    else if (offset !== known.offset) throw new Error(`weight ${weight} has a gap before ${offset}`);
  }
  return whole;
}

/** What must be read of tensors. */
function wanted(tensors: readonly MetaTensor[]): Map<number, Pick<Extent, 'offset' | 'length'>> {
  return new Map(tensors.map(({ extent }, id) => [id, { offset: extent!.offset, length: extent!.length }]));
}

const byKey = <V>(map: Map<number, V>) => [...map].sort(([a], [b]) => a - b);

function checkBlock(block: Block, own: readonly Segment[]): void {
  const { graph } = block;
  const parts = own.map(({ part }) => part);
  expect(covered(graph, parts)).toEqual(everything(graph, parts));
  expect(byKey(joined(own.flatMap(({ weights }) => weights)))).toEqual(byKey(wanted(block.weights)));
  // A router ends its part, and only routed experts are alone in theirs.
  const routers = graph.ops.flatMap(({ op }, i) => (op === 'route' ? [i + 1] : []));
  const ends = new Set(parts.map(({ to }) => to));
  expect(routers.filter((end) => !ends.has(end))).toEqual([]);
  const experts = graph.ops.flatMap(({ op }, i) => (op === 'expert' ? [{ from: i, to: i + 1 }] : []));
  expect(own.filter((segment) => segment.experts).map(({ part }) => part)).toEqual(experts);
}

function checkExperts(block: Block, segment: Segment): void {
  const op = block.graph.ops[segment.part.from]!;
  if (op.op !== 'expert') throw new Error('not a segment of experts');
  segment.experts!.forEach((expert, id) => {
    const inner = expert.map(({ part }) => part.expert!.part ?? { from: 0, to: op.graph.ops.length });
    expect(new Set(expert.map(({ part }) => `${part.from} ${part.expert!.id}`))).toEqual(
      new Set([`${segment.part.from} ${id}`]),
    );
    expect(covered(op.graph, inner)).toEqual(everything(op.graph, inner));
    const tensors = block.experts.get(segment.part.from)![id]!;
    expect(byKey(joined(expert.flatMap(({ weights }) => weights)))).toEqual(byKey(wanted(tensors)));
  });
}

test('segments run every op and read every weight exactly once, in order', () => {
  fc.assert(
    fc.property(
      tinyConfig,
      fc.integer({ min: 500, max: 200_000 }),
      fc.constantFrom(1, 512, 4096),
      (rawConfig, segmentBytes, readAlignment) => {
        const model = laidOut(rawConfig);
        const segments = cutSegments(model, { segmentBytes, readAlignment });
        expect(segments.map(({ index }) => index)).toEqual(segments.map((_, i) => i));
        const order = segments.map(({ block }) => block);
        expect(order).toEqual([...order].sort((a, b) => a - b));
        const spans = segments.map(({ weights }) =>
          weights.reduce((sum, w) => sum + spanOf(w.extent, readAlignment), 0),
        );
        expect(segments.map(({ bytes }) => bytes)).toEqual(spans);
        [...model.layers, model.head].forEach((block, index) => {
          const own = segments.filter((segment) => segment.block === index);
          checkBlock(block, own);
          for (const segment of own) if (segment.experts) checkExperts(block, segment);
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
        const { from, to, slice } = segment.part;
        const divisible = slice === undefined ? to - from > 1 : slice.to - slice.from > 1;
        if (divisible && segment.bytes > segmentBytes) throw new Error(`ops ${from} to ${to}: ${segment.bytes} bytes`);
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
