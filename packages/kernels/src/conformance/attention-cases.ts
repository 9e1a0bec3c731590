import type { KvCacheDType } from '../graph/graph';
import type { PassRows } from '../rows';
import { rounded } from '../testing/encode';
import { passRows, prompt, type RowFields } from '../testing/rows';
import { type Case, sum, vector, WEIGHT_DTYPES } from './case';

interface Shape {
  readonly name: string;
  readonly rows: PassRows;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly keyDim?: number;
  readonly valueDim?: number;
  readonly scale?: number;
  readonly softcap?: number;
  readonly window?: number;
  readonly sinks?: boolean;
  readonly kvCacheDtype?: KvCacheDType;
  readonly checkedRows?: readonly number[];
}

/** Around the borders of blocks (32) and of the 512 keys that make a partial result. */
const LENGTHS = [1, 31, 32, 33, 64, 511, 512, 513, 1100];

const lengthCases = LENGTHS.map(
  (length): Shape => ({
    name: `${length} keys`,
    rows: prompt(length),
    // What a long context costs goes by its square.
    ...(length > 100 ? { heads: 2, kvHeads: 1, keyDim: 8 } : {}),
    checkedRows: [...new Set([0, 1, 30, 31, 32, 33, 63, 510, 511, 512, 513, 1023, 1024, 1099])].filter(
      (r) => r < length,
    ),
  }),
);

/** Rows of three sequences of different lengths, mixed as a batch brings them. */
const mixed: RowFields[] = [
  ...vector(40, (position) => ({ sequence: 0, position })),
  ...vector(3, (position) => ({ sequence: 2, position })),
  ...vector(33, (position) => [
    { sequence: 1, position },
    { sequence: 2, position: position + 3 },
  ]).flat(),
];

const shapeCases: Shape[] = [
  { name: 'every head its own keys', rows: prompt(40), heads: 4, kvHeads: 4, keyDim: 24 },
  { name: 'six heads on two', rows: prompt(40), heads: 6, kvHeads: 2, keyDim: 12 },
  { name: 'eight heads on one, 128 wide', rows: prompt(37), heads: 8, kvHeads: 1, keyDim: 128 },
  { name: 'odd widths', rows: prompt(35), heads: 3, kvHeads: 1, keyDim: 5, valueDim: 7 },
  { name: 'one column', rows: prompt(35), heads: 2, kvHeads: 2, keyDim: 1, valueDim: 1 },
  { name: 'values narrower than keys', rows: prompt(70), heads: 4, kvHeads: 2, keyDim: 100, valueDim: 64 },
  { name: '256 wide, a scale of its own', rows: prompt(33), heads: 2, kvHeads: 1, keyDim: 256, scale: 0.05 },
  { name: 'large scores', rows: prompt(50), keyDim: 16, scale: 20 },
  { name: 'softcap', rows: prompt(50), keyDim: 16, scale: 4, softcap: 5 },
  { name: 'window of 1', rows: prompt(40), window: 1 },
  { name: 'window of 5', rows: prompt(70), window: 5 },
  { name: 'window of 32', rows: prompt(100), window: 32 },
  { name: 'window of 33', rows: prompt(130), window: 33, softcap: 10 },
  {
    name: 'window over a partial',
    rows: prompt(600),
    keyDim: 8,
    window: 520,
    checkedRows: [0, 519, 520, 530, 551, 599],
  },
  { name: 'three sequences in a pass', rows: passRows(mixed) },
  { name: 'three sequences, window', rows: passRows(mixed), window: 12 },
  {
    name: 'first visible position',
    rows: passRows(vector(60, (position) => ({ position, visibleFrom: Math.min(position, 20) }))),
  },
  {
    name: 'first visible position beyond a partial',
    rows: passRows(vector(560, (position) => ({ position, visibleFrom: Math.max(0, position - 30) }))),
    keyDim: 8,
    checkedRows: [0, 40, 511, 512, 541, 542, 543, 559],
  },
];

const sinkCases: Shape[] = [
  { name: 'sinks', rows: prompt(40), sinks: true },
  { name: 'sinks, window of 5', rows: prompt(40), heads: 8, window: 5, sinks: true },
  { name: 'sinks, large scores', rows: prompt(33), scale: 20, softcap: 30, sinks: true },
  { name: 'sinks, three sequences', rows: passRows(mixed), heads: 3, kvHeads: 1, keyDim: 20, sinks: true },
  {
    name: 'sinks, several partials',
    rows: prompt(1100),
    heads: 2,
    kvHeads: 1,
    keyDim: 8,
    sinks: true,
    checkedRows: [0, 511, 512, 1024, 1099],
  },
];

/** Shapes whose keys and values are kept in the other dtypes too: each border and width once. */
const STORED: readonly string[] = [
  ...['1 keys', '33 keys', '513 keys', 'every head its own keys', 'eight heads on one, 128 wide', 'odd widths'],
  ...['values narrower than keys', 'softcap', 'window of 33', 'window over a partial', 'three sequences, window'],
  ...['first visible position beyond a partial', 'sinks, window of 5'],
];

const storedCases = [...lengthCases, ...shapeCases, ...sinkCases]
  .filter(({ name }) => STORED.includes(name))
  .flatMap((shape) =>
    (['bfloat16', 'int8'] as const).map((kvCacheDtype) => ({
      ...shape,
      name: `${shape.name}, ${kvCacheDtype}`,
      kvCacheDtype,
    })),
  );

export const attentionCases: Case[] = [...lengthCases, ...shapeCases, ...sinkCases, ...storedCases].map((shape) => {
  const { rows, heads = 4, kvHeads = 2, keyDim = 16, softcap, window, checkedRows, kvCacheDtype } = shape;
  const valueDim = shape.valueDim ?? keyDim;
  const scale = shape.scale ?? keyDim ** -0.5;
  return {
    name: `attention, ${shape.name}`,
    rows,
    tolerance: scale > 1 ? 5e-5 : 5e-6,
    ...(kvCacheDtype ? { kvCacheDtype } : {}),
    ...(shape.sinks && kvCacheDtype === undefined ? { dtypes: WEIGHT_DTYPES } : {}),
    ...(checkedRows ? { checkedRows } : {}),
    record: (b) => {
      const q = b.input('q', heads * keyDim);
      const k = b.input('k', kvHeads * keyDim);
      const v = b.input('v', kvHeads * valueDim);
      const sinks = shape.sinks ? 'sinks' : undefined;
      b.output('y', b.attention(q, k, v, { heads, kvHeads, headDim: keyDim, valueDim, scale, softcap, window, sinks }));
    },
    expected: (given) => (r) => {
      const seen = visibleRows(rows, r, window);
      const q = given.input('q', r);
      const kept = (name: string, dim: number) =>
        new Map(seen.map((s) => [s, stored(given.input(name, s), dim, kvCacheDtype ?? 'float32')]));
      const keys = kept('k', keyDim);
      const values = kept('v', valueDim);
      return vector(heads, (h) => h).flatMap((h) => {
        const kv = Math.floor((h * kvHeads) / heads);
        const sink = shape.sinks ? given.weight('sinks')[h]! : Number.NEGATIVE_INFINITY;
        const scores = seen.map((s) => {
          const k = keys.get(s)!;
          const score = scale * sum(keyDim, (i) => q[h * keyDim + i]! * k[kv * keyDim + i]!);
          return softcap === undefined ? score : softcap * Math.tanh(score / softcap);
        });
        const max = Math.max(sink, ...scores);
        const weights = scores.map((score) => Math.exp(score - max));
        const total = weights.reduce((a, b) => a + b, Math.exp(sink - max));
        const column = (i: number) => sum(seen.length, (n) => weights[n]! * values.get(seen[n]!)![kv * valueDim + i]!);
        return vector(valueDim, (i) => column(i) / total);
      });
    },
  };
});

/** Vectors of `dim` as a state keeps them. */
function stored(x: Float32Array, dim: number, dtype: KvCacheDType): Float32Array {
  if (dtype === 'float32') return x;
  if (dtype === 'bfloat16') return rounded(x, 'BF16');
  return x.map((value, i) => {
    const head = x.subarray(i - (i % dim), i - (i % dim) + dim);
    const scale = Math.fround(head.reduce((largest, item) => Math.max(largest, Math.abs(item)), 0) / 127);
    return nearestEven(Math.fround(value / scale)) * scale;
  });
}

function nearestEven(x: number): number {
  const nearest = Math.round(x);
  return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : nearest;
}

/** Rows of the same sequence whose positions row r sees. */
function visibleRows(rows: PassRows, r: number, window = Number.POSITIVE_INFINITY): number[] {
  const last = rows.position[r]!;
  const first = Math.max(rows.visibleFrom[r]!, last - window + 1);
  return vector(rows.count, (s) => s).filter(
    (s) => rows.sequence[s] === rows.sequence[r] && rows.position[s]! >= first && rows.position[s]! <= last,
  );
}
