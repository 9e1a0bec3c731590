import type { RopeSpec } from '../rope/spec';
import { passRows } from '../testing/rows';
import { type Case, vector } from './case';

const ATTENTION_FACTOR = 1.25;

// Small positions, where float32 angles are as good as float64 ones; the frequencies themselves have their own tests.
const rows = passRows([0, 1, 2, 9, 17, 40].map((position) => ({ position })));

export const ropeCases: Case[] = [
  { heads: 1, headDim: 2, dim: 2 },
  { heads: 3, headDim: 10, dim: 10 },
  { heads: 4, headDim: 64, dim: 64 },
  { heads: 2, headDim: 20, dim: 14 },
  { heads: 2, headDim: 48, dim: 12, factors: 3 },
].flatMap(({ heads, headDim, dim, factors }) =>
  (['half', 'interleaved'] as const).map((pairing): Case => {
    const divisors = vector(dim / 2, () => factors ?? 1);
    const scaling: RopeSpec['scaling'] =
      factors === undefined
        ? { type: 'default' }
        : {
            type: 'longrope',
            shortFactor: divisors,
            longFactor: divisors,
            originalMaxPositions: 64,
            attentionFactor: ATTENTION_FACTOR,
          };
    const spec: RopeSpec = { dim, theta: 10000, scaling };
    const size = factors === undefined ? 1 : ATTENTION_FACTOR;
    return {
      name: `rope ${heads} heads of ${headDim}, ${dim} rotated, ${pairing}, ${scaling.type}`,
      rows,
      tolerance: 1e-5,
      record: (b) => b.output('y', b.rope(b.input('x', heads * headDim), spec, { headDim, pairing })),
      expected: (given) => (r) => {
        const x = given.input('x', r);
        return vector(heads * headDim, (column) => {
          const i = column % headDim;
          if (i >= dim) return x[column]!;
          const first = pairing === 'half' ? i < dim / 2 : i % 2 === 0;
          const pair = pairing === 'half' ? i % (dim / 2) : Math.floor(i / 2);
          const other = column + (pairing === 'half' ? dim / 2 : 1) * (first ? 1 : -1);
          const angle = given.rows.position[r]! / 10000 ** ((2 * pair) / dim) / divisors[pair]!;
          return size * (x[column]! * Math.cos(angle) + x[other]! * Math.sin(angle) * (first ? -1 : 1));
        });
      },
    };
  }),
);
