import { HostBuffer, MetaTensor } from '@airllm/loader';
import { describe, expect, it } from 'vitest';
import { GraphBuilder } from '../graph/builder';
import { distinctKernels } from '../testing/distinct-kernels';
import { encode } from '../testing/encode';
import { prompt } from '../testing/rows';
import { NativeExecutor } from './native-executor';

/** What a tile's instruction adds in one step; even and odd places are added apart. */
const DEPTH = 32;

/** The product of one row and one output, each given by the places that are not 0. */
async function product(executor: NativeExecutor, x: Places, w: Places): Promise<number> {
  const width = 2 * DEPTH;
  const b = new GraphBuilder(() => new MetaTensor({ name: 'w', dtype: 'BF16', shape: [1, width] }));
  b.output('y', b.linear(b.input('x', width), 'w', 1));
  const { graph } = b.build('tile');
  const program = executor.compile(graph);
  const buffers = [2 * width, 4 * width, 4, program.workspaceBytes(1)].map((length) => HostBuffer.allocate(length));
  const [weight, input, output, workspace] = buffers as [HostBuffer, HostBuffer, HostBuffer, HostBuffer];
  try {
    weight.bytes(0, 2 * width).set(encode(filled(w, width), 'BF16'));
    input.float32(0, width).set(filled(x, width));
    await program.run({
      part: { from: 0, to: graph.ops.length },
      rows: prompt(1),
      weights: [{ buffer: weight, offset: 0 }],
      states: [],
      carry: new Map([
        ['x', input],
        ['y', output],
      ]),
      workspace,
      maxRows: 1,
    });
    return output.float32(0, 1)[0]!;
  } finally {
    for (const buffer of buffers) buffer.dispose();
  }
}

type Places = Readonly<Record<number, number>>;

function filled(places: Places, width: number): Float32Array {
  return Float32Array.from({ length: width }, (_, i) => places[i] ?? 0);
}

for (const { isa } of distinctKernels().filter(({ isa }) => isa.startsWith('amx'))) {
  // The bits expected are those that Bochs gives for the instructions.
  describe(`${isa} near the smallest numbers`, () => {
    const multiply = async (x: Places, w: Places) => {
      const executor = NativeExecutor.open({ threads: 1, isa, computeDtype: 'bfloat16' });
      try {
        return await product(executor, x, w);
      } finally {
        await executor.dispose();
      }
    };

    it('rounds once where a product is too small for float32', async () => {
      const w = { 0: 2 ** -75, 2: 2 ** -75, 4: 2 ** -75 };
      const found = await multiply({ 0: 2 ** -51, 2: 2 ** -74, 4: 2 ** -75 }, w);
      // 1 + 2⁻²³ and half as much again: to even.
      expect(found).toBe(2 ** -126 * (1 + 2 ** -22));
    });

    it('takes denormals for 0 of their sign', async () => {
      const w = { 0: 2 ** -63, [DEPTH]: 2 ** -63 };
      expect(await multiply({ 0: 1.25 * 2 ** -63, [DEPTH]: -1.5 * 2 ** -63 }, w)).toBe(-0);
      expect(await multiply({ 0: 2 ** -64 }, w)).toBe(0);
      expect(await multiply({ 0: 2 ** 20 }, { 0: 2 ** -127 })).toBe(0);
    });
  });
}
