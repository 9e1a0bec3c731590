import { prompt } from '../testing/rows';
import { type Case, vector, WEIGHT_DTYPES } from './case';

export const embedCases: Case[] = [
  { width: 1, rows: 3, scale: 1 },
  { width: 7, rows: 1, scale: 1 },
  { width: 64, rows: 5, scale: 8 },
  { width: 129, rows: 4, scale: 11.3125 },
].map(({ width, rows, scale }) => ({
  name: `embed ${rows} x ${width}, scale ${scale}`,
  rows: prompt(rows),
  dtypes: WEIGHT_DTYPES,
  tolerance: 1e-7,
  record: (b) => b.output('y', b.embed('table', 50, width, { scale })),
  expected: (given) => (r) => vector(width, (i) => given.weight('table.weight')[given.ids[r]! * width + i]! * scale),
}));
