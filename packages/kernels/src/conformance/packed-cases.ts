import { codeBits, componentsOf } from '../packed/format';
import { componentShape } from '../packed/packed-tensor';
import type { PackedExample } from '../testing/packed';
import { prompt } from '../testing/rows';
import { type Case, sum, vector } from './case';
import { fitted, packedExamples } from './packed-formats';

/** Odd ends everywhere, and more columns than any tile is deep. */
const SHAPES = [
  { from: 2, to: 1, rows: 1 },
  { from: 34, to: 17, rows: 3 },
  { from: 33, to: 5, rows: 2 },
  { from: 256, to: 16, rows: 7 },
  { from: 320, to: 70, rows: 9, bias: true },
  { from: 2214, to: 13, rows: 2 },
  { from: 192, to: 141, rows: 33 },
] as const;

export const packedLinearCases: Case[] = packedExamples.flatMap((example) =>
  SHAPES.flatMap((shape): Case[] => {
    const { from, to, rows } = shape;
    if (from % 2 === 1 && codeBits(example.format.code) === 4) return [];
    const bias = 'bias' in shape;
    return [
      {
        name: `${example.name}, ${rows} x ${from} to ${to}${bias ? ', bias' : ''}`,
        packed: fitted(example, [to, from]),
        rows: prompt(rows),
        tolerance: 3e-6,
        bfloat16Tolerance: 3e-6,
        record: (b) => b.output('y', b.linear(b.input('x', from), 'proj', to, { bias })),
        expected: (given) => {
          const w = given.operand(given.weight('proj.weight'));
          return (r) => {
            const x = given.operand(given.input('x', r));
            return vector(
              to,
              (o) => sum(from, (i) => x[i]! * w[o * from + i]!) + (bias ? given.weight('proj.bias')[o]! : 0),
            );
          };
        },
      },
    ];
  }),
);

/** Decoding is exact, and so is the product with a factor. */
export const packedEmbedCases: Case[] = packedExamples.flatMap((example) =>
  [
    { width: 64, rows: 5, scale: 8 },
    { width: 2560, rows: 2, scale: 11.3125 },
    { width: 90, rows: 4, scale: 1 },
  ]
    .filter(({ width }) => pickable(fitted(example, [50, width]), width))
    .map(({ width, rows, scale }) => ({
      name: `${example.name}, ${rows} x ${width}, scale ${scale}`,
      packed: fitted(example, [50, width]),
      rows: prompt(rows),
      tolerance: 0,
      record: (b) => b.output('y', b.embed('table', 50, width, { scale })),
      expected: (given) => (r) =>
        vector(width, (i) => Math.fround(given.weight('table.weight')[given.ids[r]! * width + i]! * scale)),
    })),
);

/** Whether each row has its own numbers. */
function pickable({ format }: PackedExample, width: number): boolean {
  return componentsOf(format).every(
    (name) => name === 'constants' || (name !== 'columns' && componentShape(format, [50, width], name).length === 2),
  );
}
