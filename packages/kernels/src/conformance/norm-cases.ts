import { prompt } from '../testing/rows';
import { type Case, sum, vector, WEIGHT_DTYPES } from './case';

const EPS = 1e-5;

const rmsNormCases: Case[] = [
  { width: 1, groupWidth: 1, rows: 2 },
  { width: 5, groupWidth: 5, rows: 3 },
  { width: 64, groupWidth: 64, rows: 1 },
  { width: 100, groupWidth: 100, rows: 9, weightOffset: 1 },
  { width: 60, groupWidth: 12, rows: 4 },
  { width: 33, groupWidth: 33, rows: 2, plain: true },
  { width: 1100, groupWidth: 1100, rows: 2 },
].map(({ width, groupWidth, rows, weightOffset = 0, plain = false }) => ({
  name: `rmsNorm ${rows} x ${width} in groups of ${groupWidth}, offset ${weightOffset}${plain ? ', no weight' : ''}`,
  rows: prompt(rows),
  dtypes: plain ? ['F32'] : WEIGHT_DTYPES,
  tolerance: 2e-6,
  record: (b) =>
    b.output('y', b.rmsNorm(b.input('x', width), plain ? null : 'norm', { eps: EPS, groupWidth, weightOffset })),
  expected: (given) => (r) => {
    const x = given.input('x', r);
    return vector(width, (i) => {
      const start = i - (i % groupWidth);
      const mean = sum(groupWidth, (j) => x[start + j]! ** 2) / groupWidth;
      const weight = plain ? 1 : given.weight('norm.weight')[i % groupWidth]! + weightOffset;
      return (x[i]! / Math.sqrt(mean + EPS)) * weight;
    });
  },
}));

const layerNormCases: Case[] = [
  { width: 5, groupWidth: 5, rows: 3 },
  { width: 64, groupWidth: 64, rows: 9, bias: false },
  { width: 100, groupWidth: 100, rows: 1, shift: 50 },
  { width: 60, groupWidth: 12, rows: 4 },
  { width: 33, groupWidth: 33, rows: 2, plain: true },
].map(({ width, groupWidth, rows, bias = true, plain = false, shift = 0 }) => ({
  name: `layerNorm ${rows} x ${width} in groups of ${groupWidth}${plain ? ', no weight' : bias ? '' : ', no bias'}, mean ${shift}`,
  rows: prompt(rows),
  dtypes: plain ? ['F32'] : WEIGHT_DTYPES,
  // A mean far from zero costs digits of the input itself, whoever subtracts it.
  tolerance: shift === 0 ? 2e-6 : 2e-5,
  ...(shift === 0 ? {} : { inputs: { x: vector(rows, (r) => vector(width, (i) => shift + Math.sin(r + i))) } }),
  record: (b) => b.output('y', b.layerNorm(b.input('x', width), plain ? null : 'norm', { eps: EPS, groupWidth, bias })),
  expected: (given) => (r) => {
    const x = given.input('x', r);
    return vector(width, (i) => {
      const start = i - (i % groupWidth);
      const mean = sum(groupWidth, (j) => x[start + j]!) / groupWidth;
      const variance = sum(groupWidth, (j) => (x[start + j]! - mean) ** 2) / groupWidth;
      const weight = plain ? 1 : given.weight('norm.weight')[i % groupWidth]!;
      const shifted = plain || !bias ? 0 : given.weight('norm.bias')[i % groupWidth]!;
      return ((x[i]! - mean) / Math.sqrt(variance + EPS)) * weight + shifted;
    });
  },
}));

export const normCases: Case[] = [...rmsNormCases, ...layerNormCases];
