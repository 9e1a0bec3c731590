import type { ActivationName } from '../graph/ops';
import { prompt } from '../testing/rows';
import { type Case, sum, vector } from './case';

/** Definitions by other means than an executor's: sigmoid by tanh, erf by numeric integration. */
const FORMULAS: Readonly<Record<ActivationName, (x: number) => number>> = {
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => x * normalCdf(x),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))),
  gelu_quick: (x) => x * 0.5 * (1 + Math.tanh(0.851 * x)),
  relu: (x) => Math.max(0, x),
  relu2: (x) => (x > 0 ? x * x : 0),
  sigmoid: (x) => 0.5 * (1 + Math.tanh(x / 2)),
  tanh: (x) => 1 - 2 / (Math.exp(2 * x) + 1),
};

/** Simpson's rule over the bell curve. */
function normalCdf(x: number): number {
  if (Math.abs(x) > 9) return x > 0 ? 1 : 0;
  const steps = 400;
  const h = x / steps;
  const density = (t: number) => Math.exp(-t * t * 0.5) / Math.sqrt(2 * Math.PI);
  const inner = sum(steps - 1, (n) => density((n + 1) * h) * (n % 2 === 0 ? 4 : 2));
  return 0.5 + (h / 3) * (density(0) + inner + density(x));
}

const NAMES = Object.keys(FORMULAS) as ActivationName[];

const STRANGE = [
  -1e30, -200, -90, -20, -9, -5, -3, -1.5, -0.7, -1e-3, -1e-20, 0, 1e-20, 1e-3, 0.7, 1.5, 3, 5, 9, 20, 90,
];

const activationCases: Case[] = NAMES.flatMap((kind) => [
  {
    name: `activation ${kind}`,
    rows: prompt(3),
    tolerance: 1e-6,
    record: (b) => b.output('y', b.activation(b.input('x', 77), kind)),
    expected: (given) => (r) => vector(77, (i) => FORMULAS[kind](given.input('x', r)[i]!)),
  },
  {
    name: `activation ${kind} where it bends, saturates and overflows`,
    rows: prompt(STRANGE.length),
    tolerance: 1e-6,
    inputs: { x: STRANGE.map((x) => vector(19, () => x)) },
    record: (b) => b.output('y', b.activation(b.input('x', 19), kind)),
    expected: () => (r) => vector(19, () => FORMULAS[kind](Math.fround(STRANGE[r]!))),
  },
  {
    name: `gated ${kind}`,
    rows: prompt(5),
    tolerance: 1e-6,
    record: (b) => b.output('y', b.gated(b.input('gate', 45), b.input('up', 45), kind)),
    expected: (given) => (r) =>
      vector(45, (i) => FORMULAS[kind](given.input('gate', r)[i]!) * given.input('up', r)[i]!),
  },
  {
    name: `gated ${kind}, clamped and shifted`,
    rows: prompt(5),
    tolerance: 1e-6,
    record: (b) => b.output('y', b.gated(b.input('gate', 45), b.input('up', 45), kind, { limit: 0.75, shift: 1 })),
    expected: (given) => (r) =>
      vector(45, (i) => {
        const up = Math.min(0.75, Math.max(-0.75, given.input('up', r)[i]!));
        return FORMULAS[kind](Math.min(0.75, given.input('gate', r)[i]!)) * (up + 1);
      }),
  },
]);

const arithmeticCases: Case[] = [1, 16, 45].flatMap((width) => [
  {
    name: `add ${width}`,
    rows: prompt(3),
    tolerance: 1e-7,
    record: (b) => b.output('y', b.add(b.input('a', width), b.input('b', width))),
    expected: (given) => (r) => vector(width, (i) => given.input('a', r)[i]! + given.input('b', r)[i]!),
  },
  {
    name: `mul ${width}`,
    rows: prompt(3),
    tolerance: 1e-7,
    record: (b) => b.output('y', b.mul(b.input('a', width), b.input('b', width))),
    expected: (given) => (r) => vector(width, (i) => given.input('a', r)[i]! * given.input('b', r)[i]!),
  },
  {
    name: `add a value to itself, ${width}`,
    rows: prompt(2),
    tolerance: 1e-7,
    record: (b) => {
      const x = b.input('x', width);
      b.output('y', b.add(x, x));
    },
    expected: (given) => (r) => vector(width, (i) => 2 * given.input('x', r)[i]!),
  },
  {
    name: `scale ${width}`,
    rows: prompt(3),
    tolerance: 1e-7,
    record: (b) => b.output('y', b.scale(b.input('x', width), -0.3)),
    expected: (given) => (r) => vector(width, (i) => given.input('x', r)[i]! * Math.fround(-0.3)),
  },
  {
    name: `softcap ${width}`,
    rows: prompt(3),
    tolerance: 1e-6,
    record: (b) => b.output('y', b.softcap(b.scale(b.input('x', width), 4), 5)),
    expected: (given) => (r) => vector(width, (i) => 5 * Math.tanh((given.input('x', r)[i]! * 4) / 5)),
  },
]);

const sliceCases: Case[] = [
  [1, 2, 3],
  [17, 5],
  [48, 16, 16],
].map((widths) => ({
  name: `split into ${widths.join(', ')}, the last doubled`,
  rows: prompt(4),
  tolerance: 1e-7,
  record: (b) => {
    const parts = b.split(
      b.input(
        'x',
        sum(widths.length, (i) => widths[i]!),
      ),
      widths,
    );
    b.output('y', b.scale(parts.at(-1)!, 2));
  },
  expected: (given) => (r) => {
    const x = given.input('x', r);
    const width = widths.at(-1)!;
    return vector(width, (i) => 2 * x[x.length - width + i]!);
  },
}));

const alternateCases: Case[] = [1, 2, 3].map((count) => ({
  name: `${count} alternating parts, the last doubled`,
  rows: prompt(4),
  tolerance: 1e-7,
  record: (b) => b.output('y', b.scale(b.deinterleave(b.input('x', 15 * count), count).at(-1)!, 2)),
  expected: (given) => (r) => vector(15, (i) => 2 * given.input('x', r)[i * count + count - 1]!),
}));

export const elementwiseCases: Case[] = [...activationCases, ...arithmeticCases, ...sliceCases, ...alternateCases];
