import { DisposedError, HostBuffer } from '@airllm/loader';
import { afterEach, describe, expect, it } from 'vitest';
import { GraphError } from '../errors';
import type { ChainLink } from '../executor';
import { GraphBuilder } from '../graph/builder';
import type { PassRows } from '../rows';
import { BlockPool } from '../state/block-pool';
import { createState } from '../state/create-state';
import { randomValues } from '../testing/random';
import { prompt, someRows } from '../testing/rows';
import { TestWeights } from '../testing/weights';
import { NativeExecutor } from './native-executor';

const WIDTH = 32;
const ROWS = 40;
const LAYERS = 3;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function allocate(byteLength: number): HostBuffer {
  const buffer = HostBuffer.allocate(byteLength);
  cleanups.push(() => buffer.dispose());
  return buffer;
}

/** Layers with a state each, cut into parts of one op, with buffers for passes of up to `ROWS` rows. */
function layers(executor: NativeExecutor) {
  const pool = new BlockPool();
  cleanups.push(() => pool.dispose());
  const hidden = allocate(4 * ROWS * WIDTH);
  const links: ChainLink[] = [];
  const states: ReturnType<typeof createState>[][][] = [];
  for (let layer = 0; layer < LAYERS; layer++) {
    const weights = new TestWeights('BF16');
    cleanups.push(() => weights.dispose());
    const b = new GraphBuilder(weights.source);
    const x = b.input('hidden', WIDTH);
    const rope = { dim: 16, theta: 10_000, scaling: { type: 'default' } } as const;
    const [q, k, v] = ['q', 'k', 'v'].map((name) => b.linear(x, `${layer}.${name}`, WIDTH));
    const [turnedQ, turnedK] = [q!, k!].map((value) => b.rope(value, rope, { headDim: 16 }));
    const seen = b.attention(turnedQ!, turnedK!, v!, { heads: 2, kvHeads: 2, headDim: 16 });
    b.output('hidden', b.add(x, b.linear(seen, `${layer}.o`, WIDTH)));
    const block = b.build(`layer ${layer}`);
    const program = executor.compile(block.graph);
    const workspace = allocate(program.workspaceBytes(ROWS));
    const own = block.graph.states.map((spec) => [createState(pool, spec)]);
    const bytes = block.weights.map(({ name }) => weights.bytes(name));
    block.graph.ops.forEach((_, from) => {
      const part = { from, to: from + 1 };
      links.push({ program, part, weights: bytes, carry: new Map([['hidden', hidden]]), workspace, maxRows: ROWS });
      states.push(own);
    });
  }
  const begin = (values: Float32Array, count: number) => {
    hidden.float32(0, values.length).set(values);
    for (const state of states.flat(2)) state.reserve(count);
  };
  return { hidden, links, states, begin };
}

type Layers = ReturnType<typeof layers>;
type Pass = (rows: PassRows, layers: Layers) => Promise<unknown>;

/** Hidden values after passes of 37, 1, 1 and 1 rows. */
async function passes(of: Layers, run: Pass): Promise<Float32Array[]> {
  const all = prompt(ROWS);
  const ends = [37, 38, 39, 40];
  const results: Float32Array[] = [];
  for (const [i, to] of ends.entries()) {
    const from = ends[i - 1] ?? 0;
    of.begin(randomValues(`pass ${i}`, (to - from) * WIDTH), to);
    await run(someRows(all, from, to), of);
    results.push(of.hidden.float32(0, (to - from) * WIDTH).slice());
  }
  return results;
}

async function oneByOne(rows: PassRows, { links, states }: Layers): Promise<void> {
  for (const [l, { program, ...link }] of links.entries()) await program.run({ ...link, rows, states: states[l]! });
}

function open(computeDtype: 'float32' | 'bfloat16' = 'float32'): NativeExecutor {
  const executor = NativeExecutor.open({ threads: 2, computeDtype });
  cleanups.push(() => executor.dispose());
  return executor;
}

describe('a chain', () => {
  it.each(['float32', 'bfloat16'] as const)('gives the bytes that its parts give one by one, in %s', async (dtype) => {
    const executor = open(dtype);
    const expected = await passes(layers(executor), oneByOne);
    const of = layers(executor);
    const chain = executor.chain(of.links);
    cleanups.push(() => chain.dispose());
    expect(await passes(of, (rows, { states }) => chain.run({ rows, states }))).toEqual(expected);
  });

  it('takes its turn among other calls, also its own', async () => {
    const executor = open();
    const rows = prompt(5);
    const values = randomValues('turns', 5 * WIDTH);
    const twice = async (run: Pass, wait: boolean) => {
      const of = layers(executor);
      of.begin(values, 5);
      const calls = [run(rows, of)];
      if (wait) await calls[0];
      calls.push(run(rows, of));
      await Promise.all(calls);
      return of.hidden.float32(0, values.length).slice();
    };
    const chained: Pass = (each, { links, states }) => executor.chain(links).run({ rows: each, states });
    expect(await twice(chained, false)).toEqual(await twice(oneByOne, true));
    const of = layers(executor);
    of.begin(values, 5);
    const chain = executor.chain(of.links);
    await Promise.all([1, 2].map(() => chain.run({ rows, states: of.states })));
    expect(of.hidden.float32(0, values.length)).toEqual(await twice(oneByOne, true));
  });

  it('holds its buffers while it runs, and none after', async () => {
    const executor = open();
    const of = layers(executor);
    of.begin(randomValues('held', 5 * WIDTH), 5);
    const chain = executor.chain(of.links);
    const running = chain.run({ rows: prompt(5), states: of.states });
    chain.dispose();
    await running;
    const before = HostBuffer.total();
    of.hidden.dispose();
    expect(HostBuffer.total()).toBeLessThan(before);
    await expect(chain.run({ rows: prompt(5), states: of.states })).rejects.toSatisfy(DisposedError.isInstance);
  });

  it('refuses what does not fit, and works on', async () => {
    const executor = open();
    const of = layers(executor);
    const chain = executor.chain(of.links);
    cleanups.push(() => chain.dispose());
    await expect(chain.run({ rows: prompt(5), states: [] })).rejects.toSatisfy(GraphError.isInstance);
    await expect(chain.run({ rows: prompt(ROWS + 1), states: of.states })).rejects.toSatisfy(GraphError.isInstance);
    // Nobody made a place for the positions.
    await expect(chain.run({ rows: prompt(5), states: of.states })).rejects.toMatchObject({ status: 7 });
    of.begin(randomValues('works', 5 * WIDTH), 5);
    await chain.run({ rows: prompt(5), states: of.states });
    expect(() => executor.chain(of.links.map((link) => ({ ...link, weights: [] })))).toThrow(GraphError);
  });
});
