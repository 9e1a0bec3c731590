import { MetaTensor } from '@airllm/loader';
import { expect, it } from 'vitest';
import { GraphError } from '../errors';
import { GraphBuilder } from './builder';
import type { Graph, Part } from './graph';
import { checkPart, completesPart } from './part';

/** 0 linear, 1 linear (in,out), 2 route, 3 expert, 4 combine */
function moe(): Graph {
  const b = new GraphBuilder((name, shape) => new MetaTensor({ name, dtype: 'F32', shape }));
  const x = b.input('x', 10);
  const inner = b.linear(b.linear(x, 'a', 20), 'b', 4, { layout: 'in,out' });
  const expert = (e: GraphBuilder, value: typeof x, prefix: string) => e.activation(e.linear(value, prefix, 5), 'silu');
  b.output('y', b.experts(x, inner, { count: 4, topK: 2, normalise: true, expert, prefix: (n) => `e${n}` }));
  return b.build('moe').graph;
}

const good: Part[] = [
  { from: 0, to: 3 },
  { from: 0, to: 1, slice: { from: 0, to: 20 } },
  { from: 1, to: 2, slice: { from: 19, to: 20 } },
  { from: 3, to: 4, expert: { id: 3 } },
  { from: 3, to: 4, expert: { id: 0, part: { from: 0, to: 1, slice: { from: 2, to: 5 } } } },
  { from: 4, to: 5 },
];

const bad: Part[] = [
  { from: 0, to: 0 },
  { from: -1, to: 1 },
  { from: 4, to: 6 },
  { from: 0.5, to: 1 },
  { from: 0, to: 4 },
  { from: 2, to: 4, expert: { id: 0 } },
  { from: 3, to: 4 },
  { from: 3, to: 5, expert: { id: 0 } },
  { from: 3, to: 4, expert: { id: 4 } },
  { from: 3, to: 4, expert: { id: 0, part: { from: 0, to: 3 } } },
  { from: 0, to: 1, expert: { id: 0 } },
  { from: 0, to: 2, slice: { from: 0, to: 1 } },
  { from: 4, to: 5, slice: { from: 0, to: 1 } },
  { from: 0, to: 1, slice: { from: 3, to: 3 } },
  { from: 0, to: 1, slice: { from: 0, to: 21 } },
];

it.each(good)('lets %o run', (part) => {
  expect(() => checkPart(moe(), part)).not.toThrow();
});

it.each(bad)('refuses %o', (part) => {
  expect(() => checkPart(moe(), part)).toThrow(expect.toSatisfy(GraphError.isInstance));
});

it('knows the slice that completes a linear', () => {
  expect(completesPart(moe(), { from: 0, to: 1, slice: { from: 0, to: 19 } })).toBe(false);
  expect(completesPart(moe(), { from: 0, to: 1, slice: { from: 19, to: 20 } })).toBe(true);
  expect(completesPart(moe(), { from: 1, to: 2, slice: { from: 0, to: 4 } })).toBe(false);
  expect(completesPart(moe(), { from: 0, to: 3 })).toBe(true);
});
