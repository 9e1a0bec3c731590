import { prompt } from '../testing/rows';
import { type Case, sum, vector, WEIGHT_DTYPES } from './case';

const SHAPES = [
  { from: 1, to: 1, rows: 1 },
  { from: 7, to: 5, rows: 2 },
  { from: 33, to: 17, rows: 3 },
  { from: 64, to: 64, rows: 9 },
  { from: 129, to: 70, rows: 33, bias: true },
  { from: 1100, to: 3, rows: 4 },
  { from: 31, to: 300, rows: 1, bias: true },
  { from: 96, to: 100, rows: 65 },
] as const;

const shapeCases: Case[] = SHAPES.flatMap((shape) => {
  const { from, to, rows } = shape;
  const bias = 'bias' in shape;
  return (['out,in', 'in,out'] as const).map(
    (layout): Case => ({
      name: `linear ${rows} x ${from} to ${to}, ${layout}${bias ? ', bias' : ''}`,
      rows: prompt(rows),
      dtypes: WEIGHT_DTYPES,
      tolerance: 3e-6,
      bfloat16Tolerance: 3e-6,
      record: (b) => b.output('y', b.linear(b.input('x', from), 'proj', to, { layout, bias })),
      expected: (given) => (r) => {
        const x = given.operand(given.input('x', r));
        const w = given.weight('proj.weight');
        const product = (o: number) => sum(from, (i) => x[i]! * w[layout === 'out,in' ? o * from + i : i * to + o]!);
        return vector(to, (o) => product(o) + (bias ? given.weight('proj.bias')[o]! : 0));
      },
    }),
  );
});

/** The carry of an output may be that of an input: it must not be written before the last slice has read it. */
const inPlaceCases: Case[] = (['out,in', 'in,out'] as const).map((layout) => ({
  name: `linear into the buffer it reads, ${layout}`,
  rows: prompt(3),
  dtypes: WEIGHT_DTYPES,
  tolerance: 3e-6,
  bfloat16Tolerance: 3e-6,
  record: (b) => b.output('y', b.linear(b.input('y', 24), 'proj', 24, { layout })),
  expected: (given) => (r) => {
    const x = given.operand(given.input('y', r));
    const w = given.weight('proj.weight');
    return vector(24, (o) => sum(24, (i) => x[i]! * w[layout === 'out,in' ? o * 24 + i : i * 24 + o]!));
  },
}));

export const linearCases: Case[] = [...shapeCases, ...inPlaceCases];
