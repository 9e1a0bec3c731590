import { describe, expect, it } from 'vitest';
import { inverseFrequencies } from './frequencies';
import type { RopeScaling } from './spec';

interface Expectation {
  readonly name: string;
  readonly dim: number;
  readonly theta: number;
  readonly scaling: RopeScaling;
  /** @defaultValue 1 */
  readonly ropeLength?: number;
  /** Which frequencies are given below. @defaultValue all */
  readonly at?: readonly number[];
  readonly inverse: readonly number[];
}

const dynamic: RopeScaling = { type: 'dynamic', factor: 2, maxPositions: 64 };
const yarn = {
  type: 'yarn',
  factor: 4,
  originalMaxPositions: 64,
  betaFast: 32,
  betaSlow: 1,
  attentionFactor: 1,
} as const;
const llama3 = { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4 } as const;
const longrope: RopeScaling = {
  type: 'longrope',
  shortFactor: [1.0, 1.02, 1.05, 1.1, 1.3, 1.6, 2.0, 2.5],
  longFactor: [1.0, 1.5, 2.25, 4.0, 9.0, 16.5, 30.0, 48.0],
  originalMaxPositions: 100,
  attentionFactor: 1.2,
};
const plain16 = [1, 0.31622776, 0.1, 0.03162278, 0.01, 0.0031622779, 0.001, 0.0003162278];
const short16 = [1, 0.3100272, 0.0952381, 0.02874798, 0.0076923077, 0.0019764237, 0.0005, 0.00012649111];
const long16 = [1, 0.2108185, 0.044444446, 0.007905695, 0.0011111111, 0.0001916532, 3.3333334e-5, 6.5880786e-6];

// Computed with numpy in float32, apart from this code, after transformers 5.23's modeling_rope_utils.py.
const EXPECTED: readonly Expectation[] = [
  { name: 'default', dim: 16, theta: 1e4, scaling: { type: 'default' }, inverse: plain16 },
  {
    name: 'default, part of the head',
    dim: 6,
    theta: 1e6,
    scaling: { type: 'default' },
    inverse: [1, 0.009999999, 9.999998e-5],
  },
  {
    name: 'linear',
    dim: 16,
    theta: 1e4,
    scaling: { type: 'linear', factor: 3 },
    inverse: [
      0.33333334, 0.10540926, 0.033333335, 0.010540926, 0.0033333332, 0.0010540927, 0.00033333336, 0.000105409265,
    ],
  },
  { name: 'dynamic within its positions', dim: 16, theta: 1e4, scaling: dynamic, ropeLength: 64, inverse: plain16 },
  {
    name: 'dynamic one past',
    dim: 16,
    theta: 1e4,
    scaling: dynamic,
    ropeLength: 65,
    inverse: [1, 0.3148407, 0.09912466, 0.031208478, 0.009825699, 0.00309353, 0.0009739692, 0.00030664512],
  },
  {
    name: 'dynamic far past',
    dim: 16,
    theta: 1e4,
    scaling: dynamic,
    ropeLength: 200,
    inverse: [1, 0.24952847, 0.062264454, 0.015536753, 0.0038768623, 0.0009673875, 0.0002413907, 6.0233855e-5],
  },
  {
    name: 'dynamic with a crooked factor',
    dim: 12,
    theta: 5e4,
    scaling: { type: 'dynamic', factor: 3.3, maxPositions: 48 },
    ropeLength: 117,
    inverse: [1, 0.11614466, 0.01348958, 0.0015667428, 0.00018196875, 2.1134707e-5],
  },
  {
    name: 'yarn',
    dim: 16,
    theta: 1e4,
    scaling: { ...yarn, truncate: true },
    inverse: [1, 0.23717082, 0.049999997, 0.007905695, 0.0025, 0.00079056947, 0.00025, 7.905695e-5],
  },
  {
    name: 'yarn, range not truncated',
    dim: 16,
    theta: 1e4,
    scaling: { ...yarn, truncate: false },
    inverse: [1, 0.19858353, 0.02559525, 0.007905695, 0.0025, 0.00079056947, 0.00025, 7.905695e-5],
  },
  {
    name: 'yarn of gpt-oss',
    dim: 64,
    theta: 150000,
    scaling: { ...yarn, factor: 32, originalMaxPositions: 4096, truncate: false },
    at: [0, 8, 9, 12, 16, 17, 20, 31],
    inverse: [1, 0.05081328, 0.031705696, 0.0067949593, 0.00045648392, 0.0001293187, 1.8188337e-5, 3.0235114e-7],
  },
  {
    name: 'yarn of a long context',
    dim: 16,
    theta: 1e6,
    scaling: { ...yarn, originalMaxPositions: 32768, truncate: true },
    inverse: [1, 0.17782794, 0.03162278, 0.00421756, 0.0005, 4.4456985e-5, 7.905694e-6, 1.4058534e-6],
  },
  {
    name: 'yarn with an empty range',
    dim: 8,
    theta: 1e4,
    scaling: { ...yarn, factor: 2, originalMaxPositions: 8, betaFast: 1, truncate: true },
    inverse: [1, 0.05, 0.005, 0.0005],
  },
  {
    name: 'llama3',
    dim: 16,
    theta: 5e5,
    scaling: { ...llama3, originalMaxPositions: 64 },
    inverse: [1, 0.07940301, 0.004700754, 0.00091158313, 0.00017677668, 3.4281024e-5, 6.6478706e-6, 1.2891732e-6],
  },
  {
    name: 'llama3 of Llama 3.1',
    dim: 128,
    theta: 5e5,
    scaling: { ...llama3, originalMaxPositions: 8192 },
    at: [0, 20, 28, 29, 30, 35, 36, 63],
    inverse: [1, 0.01656044, 0.003211446, 0.0021665706, 0.0013718937, 9.556213e-5, 7.7846555e-5, 3.068926e-7],
  },
  { name: 'longrope, short', dim: 16, theta: 1e4, scaling: longrope, ropeLength: 100, inverse: short16 },
  { name: 'longrope, long', dim: 16, theta: 1e4, scaling: longrope, ropeLength: 101, inverse: long16 },
];

describe('inverseFrequencies', () => {
  it.each(EXPECTED)('$name', ({ dim, theta, scaling, ropeLength = 1, at, inverse }) => {
    const found = inverseFrequencies({ dim, theta, scaling }, ropeLength);
    expect(found.length).toBe(dim / 2);
    // Powers differ in the last bit between libraries; a dynamic base is a power of a power.
    const tolerance = scaling.type === 'dynamic' ? 2e-6 : 4e-7;
    inverse.forEach((value, n) => {
      expect(Math.abs(found[at?.[n] ?? n]! / value - 1), `frequency ${at?.[n] ?? n}`).toBeLessThan(tolerance);
    });
  });
});
