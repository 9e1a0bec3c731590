import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/builder-options';
import { prompt } from '../testing/rows';
import { type Case, type Given, sum, vector, WEIGHT_DTYPES } from './case';

const WIDTH = 12;
const INNER = 19;

interface Shape {
  readonly name: string;
  readonly count: number;
  readonly topK: number;
  readonly rows: number;
  readonly score?: 'softmax' | 'sigmoid';
  readonly normalise?: boolean;
  readonly scale?: number;
  readonly logits?: readonly (readonly number[])[];
}

const SHAPES: Shape[] = [
  { name: '2 of 4', count: 4, topK: 2, rows: 9, normalise: true },
  { name: '1 of 3', count: 3, topK: 1, rows: 5 },
  { name: 'all of 3', count: 3, topK: 3, rows: 1, normalise: true },
  { name: '3 of 16, unnormalised, scaled', count: 16, topK: 3, rows: 7, scale: 2.5 },
  { name: '4 of 9, sigmoid', count: 9, topK: 4, rows: 8, score: 'sigmoid', normalise: true, scale: 1.5 },
  {
    name: 'ties go to the lower expert',
    count: 5,
    topK: 3,
    rows: 2,
    logits: [
      [1, 1, 1, 1, 1],
      [0, 2, 0, 2, 0],
    ],
  },
  {
    name: 'one expert for every row',
    count: 4,
    topK: 1,
    rows: 33,
    logits: vector(33, () => [0, 0, 50, 0]),
  },
  {
    name: 'logits that saturate',
    count: 4,
    topK: 2,
    rows: 2,
    score: 'sigmoid',
    logits: [
      [100, 200, 300, 50],
      [-200, -300, -100, -400],
    ],
  },
];

export const expertCases: Case[] = SHAPES.map((shape) => {
  const { count, topK, rows, score = 'softmax', normalise = false, scale = 1 } = shape;
  return {
    name: `experts, ${shape.name}`,
    rows: prompt(rows),
    dtypes: WEIGHT_DTYPES,
    tolerance: 5e-6,
    // Values that lie between two of bf16 may be rounded the other way.
    bfloat16Tolerance: 1e-2,
    ...(shape.logits ? { inputs: { logits: shape.logits } } : {}),
    record: (b) => {
      const options = { count, topK, score, normalise, scale, expert: mlp, prefix: (e: number) => `expert.${e}` };
      b.output('y', b.experts(b.input('x', WIDTH), b.input('logits', count), options));
    },
    expected: (given) => (r) => {
      const logits = [...given.input('logits', r)];
      const chosen = vector(count, (e) => e)
        .sort((a, b) => logits[b]! - logits[a]! || a - b)
        .slice(0, topK);
      const scores = score === 'sigmoid' ? logits.map((x) => 1 / (1 + Math.exp(-x))) : softmax(logits);
      const total = normalise ? sum(topK, (j) => scores[chosen[j]!]!) : 1;
      const outputs = chosen.map((e) => mlpFormula(given, e, given.input('x', r)));
      return vector(WIDTH, (i) => sum(topK, (j) => ((scores[chosen[j]!]! * scale) / total) * outputs[j]![i]!));
    },
  };
});

/** One expert: a gated MLP whose gate and up projections are fused. */
function mlp(b: GraphBuilder, x: Value, prefix: string): Value {
  const fused = b.linear(x, `${prefix}.gate_up`, 2 * INNER, { parts: [INNER, INNER] });
  const [gate, up] = b.split(fused, [INNER, INNER]);
  return b.linear(b.gated(gate!, up!, 'silu'), `${prefix}.down`, WIDTH, { bias: true });
}

function mlpFormula(given: Given, e: number, x: Float32Array): number[] {
  const fused = given.weight(`expert.${e}.gate_up.weight`);
  const down = given.weight(`expert.${e}.down.weight`);
  const bias = given.weight(`expert.${e}.down.bias`);
  const operand = given.operand(x);
  const project = (o: number) => sum(WIDTH, (i) => operand[i]! * fused[o * WIDTH + i]!);
  const gated = vector(INNER, (n) => {
    const gate = project(n);
    return (gate / (1 + Math.exp(-gate))) * project(INNER + n);
  });
  const inner = given.operand(Float32Array.from(gated));
  return vector(WIDTH, (o) => bias[o]! + sum(INNER, (n) => inner[n]! * down[o * INNER + n]!));
}

function softmax(logits: readonly number[]): number[] {
  const max = Math.max(...logits);
  const total = sum(logits.length, (e) => Math.exp(logits[e]! - max));
  return logits.map((x) => Math.exp(x - max) / total);
}
