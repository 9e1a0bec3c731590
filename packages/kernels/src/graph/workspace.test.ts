import { MetaTensor } from '@airllm/loader';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from './builder';
import type { Value } from './builder-options';
import type { Graph } from './graph';
import { opInputs, opOutputs } from './ops';
import { layoutWorkspace } from './workspace';

type Step =
  | { readonly kind: 'linear' | 'scale' | 'split' | 'experts'; readonly pick: number; readonly width: number }
  | { readonly kind: 'output'; readonly pick: number; readonly width: number };

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('linear', 'scale', 'split', 'experts', 'output'),
  pick: fc.nat(),
  width: fc.integer({ min: 1, max: 70 }),
});

/** A graph of random ops on random values recorded before. */
function graphOf(steps: readonly Step[]): Graph {
  const b = new GraphBuilder((name, shape) => new MetaTensor({ name, dtype: 'F32', shape }));
  const values: Value[] = [b.input('a', 33), b.input('b', 16)];
  const expert = (e: GraphBuilder, x: Value, prefix: string) =>
    e.linear(e.activation(e.linear(x, `${prefix}.up`, 2 * x.width), 'silu'), `${prefix}.down`, x.width);
  steps.forEach(({ kind, pick, width }, n) => {
    const x = values[pick % values.length]!;
    if (kind === 'linear') values.push(b.linear(x, `w${n}`, width));
    else if (kind === 'scale') values.push(b.scale(x, 2));
    else if (kind === 'split') values.push(...b.split(x, x.width > 1 ? [1, x.width - 1] : [1]));
    else if (kind === 'output') b.output(`out${n}`, x);
    else {
      const logits = b.linear(x, `gate${n}`, 3);
      values.push(b.experts(x, logits, { count: 3, topK: 2, normalise: true, expert, prefix: (e) => `${n}.${e}` }));
    }
  });
  return b.build('random').graph;
}

/** By brute force: op after op, which values hold something that is still wanted. */
function liveAt(graph: Graph, index: number): number[] {
  const inputs = [...graph.inputs.values()];
  return graph.values.flatMap((_, id) => {
    const born = graph.ops.findIndex((op) => opOutputs(op).includes(id));
    const known = inputs.includes(id) || (born >= 0 && born <= index);
    const wanted = graph.ops.some((op, n) => n >= index && opInputs(op).includes(id));
    return known && (born === index || wanted || [...graph.outputs.values()].includes(id)) ? [id] : [];
  });
}

function expectApart(columns: readonly number[], graph: Graph, ids: readonly number[]): void {
  const sorted = ids.filter((id) => columns[id]! >= 0).sort((a, b) => columns[a]! - columns[b]!);
  sorted.slice(1).forEach((id, n) => {
    const before = sorted[n]!;
    expect(columns[before]! + graph.values[before]!.width).toBeLessThanOrEqual(columns[id]!);
  });
}

describe('layoutWorkspace', () => {
  it('never lets two live values overlap', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const graph = graphOf(steps);
        const layout = layoutWorkspace(graph);
        for (const id of graph.inputs.values()) expect(layout.columns[id]).toBe(-1);
        const ends = layout.columns.map((column, id) => (column < 0 ? 0 : column + graph.values[id]!.width));
        const own = Math.max(0, ...ends);
        graph.ops.forEach((op, index) => {
          expectApart(layout.columns, graph, liveAt(graph, index));
          if (op.op !== 'expert') return;
          const area = layout.experts.get(index)!;
          expect(area.rowList).toBeGreaterThanOrEqual(own);
          expect(Math.min(...area.columns)).toBeGreaterThan(area.rowList);
          op.graph.ops.forEach((_, inner) => {
            expectApart(area.columns, op.graph, liveAt(op.graph, inner));
          });
          area.columns.forEach((column, id) => {
            expect(column + op.graph.values[id]!.width).toBeLessThanOrEqual(layout.totalColumns);
          });
        });
        expect(own).toBeLessThanOrEqual(layout.totalColumns);
      }),
      { numRuns: 150, seed: 3 },
    );
  });

  it('starts every value at a multiple of 64 bytes', () => {
    const layout = layoutWorkspace(graphOf([{ kind: 'experts', pick: 0, width: 1 }]));
    const all = [
      ...layout.columns.filter((column) => column >= 0),
      ...[...layout.experts.values()].flatMap((e) => e.columns),
    ];
    expect(all.filter((column) => column % 16 !== 0)).toEqual([]);
  });

  it('takes the place of values that are no longer needed', () => {
    const steps = Array.from({ length: 50 }, (_, n): Step => ({ kind: 'linear', pick: n + 1, width: 64 }));
    expect(layoutWorkspace(graphOf(steps)).totalColumns).toBe(128);
  });
});
