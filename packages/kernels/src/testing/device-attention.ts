import { HostBuffer } from '@airllm/loader';
import type { Executor } from '../executor';
import { GraphBuilder } from '../graph/builder';
import type { LayerState } from '../state/layer-state';
import { passRows, type RowFields } from './rows';

/** The state of {@link deviceAttention}. */
export const kv = { kind: 'kv', kvHeads: 1, keyDim: 4, valueDim: 4, dtype: 'float32' } as const;

export function positions(from: number, to: number): RowFields[] {
  return Array.from({ length: to - from }, (_, n) => ({ position: from + n }));
}

/** Attention over one state, with queries, keys and values that depend on the position alone. */
export function deviceAttention(executor: Executor) {
  const b = new GraphBuilder(() => {
    throw new Error('there are no weights');
  });
  const [q, k, v] = [b.input('q', 8), b.input('k', 4), b.input('v', 4)];
  b.output('y', b.attention(q, k, v, { heads: 2, kvHeads: 1, headDim: 4 }));
  const { graph } = b.build('attention');
  const program = executor.compile(graph);
  const widths = { q: 8, k: 4, v: 4, y: 8 };
  const carry = new Map(Object.entries(widths).map(([name, width]) => [name, HostBuffer.allocate(4 * 32 * width)]));
  const workspace = HostBuffer.allocate(1);
  return {
    async run(state: LayerState, fields: readonly RowFields[]): Promise<Float32Array> {
      const rows = passRows(fields);
      state.reserve(fields.at(-1)!.position + 1);
      for (const [name, width] of Object.entries(widths)) {
        const values = carry.get(name)!.float32(0, rows.count * width);
        values.forEach((_, i) => {
          values[i] = Math.sin(name.charCodeAt(0) + 7 * fields[Math.floor(i / width)]!.position + (i % width));
        });
      }
      const call = { part: { from: 0, to: 1 }, rows, weights: [], states: [[state]], carry, workspace, maxRows: 32 };
      await program.run(call);
      return carry
        .get('y')!
        .float32(0, rows.count * widths.y)
        .slice();
    },
    dispose() {
      for (const buffer of carry.values()) buffer.dispose();
      workspace.dispose();
    },
  };
}
