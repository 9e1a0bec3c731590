import { MetaTensor } from '@airllm/loader';
import { describe, expect, it } from 'vitest';
import { GraphError } from '../errors';
import { PackedTensor } from '../packed/packed-tensor';
import type { RopeSpec } from '../rope/spec';
import { type ExpertsOptions, GraphBuilder } from './builder';
import type { Value } from './builder-options';

const spec: RopeSpec = { dim: 8, theta: 10000, scaling: { type: 'default' } };

function builder(dtype: 'F32' | 'BF16' = 'F32') {
  const names: string[] = [];
  const b = new GraphBuilder((name, shape) => {
    names.push(`${name} [${shape.join(', ')}]`);
    return new MetaTensor({ name, dtype, shape });
  });
  return { b, names };
}

/** The op a GraphError names. */
function failingOp(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (GraphError.isInstance(error)) return error.op;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('GraphBuilder', () => {
  it('asks for tensors by the names and shapes of modules', () => {
    const { b, names } = builder();
    const x = b.embed('embed', 100, 16, { scale: 4 });
    const normed = b.layerNorm(b.rmsNorm(x, 'rms', { eps: 1e-6, groupWidth: 8 }), 'ln', { eps: 1e-6 });
    b.linear(b.linear(normed, 'up', 24, { bias: true }), 'down', 16, { layout: 'in,out' });
    expect(names).toEqual([
      'embed.weight [100, 16]',
      'rms.weight [8]',
      'ln.weight [16]',
      'ln.bias [16]',
      'up.weight [24, 16]',
      'up.bias [24]',
      'down.weight [24, 16]',
    ]);
  });

  it('records ops in order with defaults filled in', () => {
    const { b } = builder();
    const q = b.input('q', 32);
    const kv = b.input('kv', 16);
    const turned = b.rope(q, spec, { headDim: 8 });
    b.output('y', b.attention(turned, kv, kv, { heads: 4, kvHeads: 2, headDim: 8, window: 5 }));
    const { graph } = b.build('layer');
    expect(graph.ops).toEqual([
      { op: 'rope', x: 0, rope: 0, headDim: 8, pairing: 'half', out: 2 },
      { op: 'attention', q: 2, k: 1, v: 1, state: 0, heads: 4, scale: 8 ** -0.5, window: 5, out: 3 },
    ]);
    expect(graph.states).toEqual([{ kind: 'kv', kvHeads: 2, keyDim: 8, valueDim: 8, dtype: 'float32', window: 5 }]);
    expect([...graph.inputs]).toEqual([
      ['q', 0],
      ['kv', 1],
    ]);
    expect([...graph.outputs]).toEqual([['y', 3]]);
    expect(graph.values.map((value) => value.width)).toEqual([32, 16, 32, 32]);
  });

  it('keeps one rope table for equal specs', () => {
    const { b } = builder();
    const x = b.input('x', 16);
    b.rope(x, spec, { headDim: 8 });
    b.rope(x, { ...spec }, { headDim: 8 });
    b.rope(x, { ...spec, theta: 500 }, { headDim: 8 });
    expect(b.build('layer').graph.ropes).toEqual([spec, { ...spec, theta: 500 }]);
  });

  it('gives layers of one kind one key, and others another', () => {
    const layer = (n: number, change: { width?: number; dtype?: 'BF16'; eps?: number; name?: string } = {}) => {
      const { b } = builder(change.dtype);
      const x = b.input('hidden', 16);
      const y = b.linear(x, `layers.${n}.up`, change.width ?? 24);
      b.output(change.name ?? 'hidden', b.rmsNorm(y, `layers.${n}.norm`, { eps: change.eps ?? 1e-6 }));
      return b.build(`layers.${n}`).graph.key;
    };
    expect(layer(0)).toBe(layer(7));
    const others = [
      layer(0, { width: 25 }),
      layer(0, { dtype: 'BF16' }),
      layer(0, { eps: 1e-5 }),
      layer(0, { name: 'y' }),
    ];
    expect(new Set([layer(0), ...others]).size).toBe(5);
  });

  it('refuses values that do not fit together', () => {
    const { b } = builder();
    const x = b.input('x', 16);
    const y = b.input('y', 12);
    const heads = { heads: 2, kvHeads: 1, headDim: 8 };
    expect(failingOp(() => b.add(x, y))).toBe('add');
    expect(failingOp(() => b.mul(x, y))).toBe('mul');
    expect(failingOp(() => b.gated(x, y, 'silu'))).toBe('gated');
    expect(failingOp(() => b.split(x, [8, 9]))).toBe('split');
    expect(failingOp(() => b.rmsNorm(x, 'norm', { eps: 1e-6, groupWidth: 5 }))).toBe('rmsNorm');
    expect(failingOp(() => b.layerNorm(x, 'norm', { eps: 1e-6, groupWidth: 5 }))).toBe('layerNorm');
    expect(failingOp(() => b.rope(y, spec, { headDim: 8 }))).toBe('rope');
    expect(failingOp(() => b.rope(y, spec, { headDim: 4 }))).toBe('rope');
    expect(failingOp(() => b.rope(x, { ...spec, dim: 7 }, { headDim: 8 }))).toBe('rope');
    expect(failingOp(() => b.attention(x, y, y, heads))).toBe('attention');
    expect(failingOp(() => b.attention(x, x, x, { heads: 2, kvHeads: 2, headDim: 8, window: 0 }))).toBe('attention');
    expect(failingOp(() => b.linear(x, 'fused', 20, { parts: [8, 8] }))).toBe('linear');
    expect(failingOp(() => b.linear(x, 'none', 0))).toBe('linear');
    expect(failingOp(() => b.input('z', 1.5))).toBe('input');
    expect(failingOp(() => b.input('x', 16))).toBe('input');
  });

  it('refuses divisors that do not match the rotary width', () => {
    const { b } = builder();
    const scaling = { type: 'longrope', originalMaxPositions: 16, attentionFactor: 1 } as const;
    const lists = { shortFactor: [1, 1, 1, 1], longFactor: [1, 1, 1] };
    const x = b.input('x', 8);
    expect(failingOp(() => b.rope(x, { ...spec, scaling: { ...scaling, ...lists } }, { headDim: 8 }))).toBe('rope');
  });

  it('refuses a tensor of another shape than was asked for', () => {
    const b = new GraphBuilder((name) => new MetaTensor({ name, dtype: 'F32', shape: [8, 4] }));
    expect(failingOp(() => b.linear(b.input('x', 8), 'up', 4))).toBe('weight');
  });

  it('refuses values of another builder', () => {
    const foreign = builder().b.input('x', 16);
    const { b } = builder();
    const x = b.input('x', 16);
    expect(failingOp(() => b.add(x, foreign))).toBe('add');
    expect(failingOp(() => b.linear(foreign, 'up', 4))).toBe('linear');
    expect(failingOp(() => b.output('y', foreign))).toBe('output');
  });

  it('refuses an output that would come from an overwritten buffer', () => {
    const { b } = builder();
    const x = b.input('x', 16);
    b.output('before', x);
    b.output('x', b.scale(x, 2));
    expect(failingOp(() => b.build('layer'))).toBe('output');
  });

  describe('experts', () => {
    const options: ExpertsOptions = {
      count: 3,
      topK: 2,
      normalise: true,
      expert: (e, x, prefix) => e.linear(x, `${prefix}.up`, 6),
      prefix: (n) => `experts.${n}`,
    };
    const record = (change: Partial<ExpertsOptions> = {}) => {
      const { b } = builder();
      b.output('y', b.experts(b.input('x', 16), b.input('logits', 3), { ...options, ...change }));
      return b.build('moe');
    };

    it('are one graph with the tensors of each', () => {
      const { graph, experts } = record();
      expect(graph.ops.map((op) => op.op)).toEqual(['route', 'expert', 'combine']);
      expect(experts.get(1)!.map((tensors) => tensors.map((tensor) => tensor.name))).toEqual([
        ['experts.0.up.weight'],
        ['experts.1.up.weight'],
        ['experts.2.up.weight'],
      ]);
      expect(graph.weights).toEqual([]);
      expect(graph.values[graph.outputs.get('y')!]!.width).toBe(6);
    });

    it('change the key of the layer', () => {
      expect(record().graph.key).toBe(record().graph.key);
      expect(record({ expert: (e, x, prefix) => e.linear(x, `${prefix}.up`, 7) }).graph.key).not.toBe(
        record().graph.key,
      );
    });

    it('must be alike, and look at one row only', () => {
      let n = 0;
      const unlike = (e: GraphBuilder, x: Value, prefix: string) => e.linear(x, `${prefix}.up`, 6 + Number(n++ === 2));
      const turning = (e: GraphBuilder, x: Value) => e.rope(x, spec, { headDim: 8 });
      expect(failingOp(() => record({ expert: unlike }))).toBe('experts');
      expect(failingOp(() => record({ expert: turning }))).toBe('experts');
      expect(failingOp(() => record({ topK: 4 }))).toBe('experts');
      expect(failingOp(() => record({ topK: 0 }))).toBe('experts');
      expect(failingOp(() => record({ count: 4 }))).toBe('experts');
    });

    it('must be recorded on their own builder', () => {
      const { b } = builder();
      const x = b.input('x', 16);
      const captured: ExpertsOptions = { ...options, expert: (e, _, prefix) => e.linear(x, `${prefix}.up`, 6) };
      expect(failingOp(() => b.experts(x, b.input('logits', 3), captured))).toBe('linear');
    });
  });
});

it('numbers of a quantised matrix that no file holds are constants, which are not loaded', () => {
  const part = (name: string, dtype: 'I8' | 'F32', shape: number[], literal?: Uint8Array) =>
    new MetaTensor({ name, dtype, shape, literal });
  const layouts = (factor: MetaTensor) => {
    const tensor = new PackedTensor({
      name: 'proj.weight',
      shape: [3, 4],
      format: {
        code: 'i8',
        block: { rows: 1, columns: 4 },
        scale: { dtype: 'F32', supers: { dtype: 'F32', every: 2 ** 30 } },
      },
      components: { codes: part('codes', 'I8', [3, 4]), scales: part('scales', 'F32', [3, 1]), supers: factor },
    });
    const b = new GraphBuilder(() => tensor);
    b.output('y', b.linear(b.input('x', 4), 'proj', 3, { bias: false }));
    return b.build('block').graph.weights.map(({ layout }) => layout);
  };
  expect(layouts(part('factor', 'F32', [1], new Uint8Array(4)))).toEqual(['out,in', 'out,in', 'constants']);
  expect(layouts(part('factor', 'F32', [1]))).toEqual(['out,in', 'out,in', 'whole']);
});
