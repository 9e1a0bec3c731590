import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/builder-options';
import type { RopeSpec } from '../rope/spec';
import { passRows, prompt } from '../testing/rows';
import { vector } from './case';
import type { Recorded } from './run-case';

/** A whole layer of a kind of model: compared with the reference executor, and with itself cut otherwise. */
export interface BlockCase extends Recorded {
  readonly name: string;
}

const llama3: RopeSpec = {
  dim: 16,
  theta: 500000,
  scaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 16 },
};

/** Two sequences, mixed, one of them starting at a later position. */
const batch = passRows([
  ...vector(20, (i) => ({ position: i })),
  ...vector(18, (i) => [{ sequence: 1, position: i }, { position: 20 + i }]).flat(),
]);

export const blockCases: BlockCase[] = [
  { name: 'a llama layer', rows: batch, record: llamaLayer },
  { name: 'a gpt2 layer, matrices in,out', rows: prompt(35), record: gpt2Layer },
  { name: 'a mixture of experts layer', rows: prompt(17), record: mixtralLayer },
  { name: 'a gemma layer', rows: prompt(50), record: gemmaLayer },
  { name: 'a gpt-oss layer', rows: prompt(40), record: gptOssLayer },
  { name: 'a llama layer, keys and values in bfloat16', rows: batch, record: llamaLayer, kvCacheDtype: 'bfloat16' },
  { name: 'a gemma layer, keys and values in int8', rows: prompt(50), record: gemmaLayer, kvCacheDtype: 'int8' },
  { name: 'embeddings and a head', rows: prompt(9), record: ends },
];

function attention(
  b: GraphBuilder,
  x: Value,
  options: { qkNorm?: boolean; window?: number; softcap?: number; sinks?: string } = {},
): Value {
  const [heads, kvHeads, headDim] = [4, 2, 16];
  const fused = b.linear(x, 'attn.qkv', (heads + 2 * kvHeads) * headDim, { parts: [64, 32, 32], bias: true });
  const [q, k, v] = b.split(fused, [64, 32, 32]) as [Value, Value, Value];
  const turn = (value: Value, norm: string) => {
    const normed = options.qkNorm ? b.rmsNorm(value, norm, { eps: 1e-6, groupWidth: headDim }) : value;
    return b.rope(normed, llama3, { headDim });
  };
  const { window, softcap, sinks } = options;
  const y = b.attention(turn(q, 'attn.q_norm'), turn(k, 'attn.k_norm'), v, {
    heads,
    kvHeads,
    headDim,
    window,
    softcap,
    sinks,
  });
  return b.linear(y, 'attn.o', x.width);
}

function gatedMlp(b: GraphBuilder, x: Value, name: string, kind: 'silu' | 'gelu_tanh'): Value {
  const gate = b.linear(x, `${name}.gate`, 70);
  const up = b.linear(x, `${name}.up`, 70);
  return b.linear(b.gated(gate, up, kind), `${name}.down`, x.width);
}

function llamaLayer(b: GraphBuilder): void {
  const x = b.input('x', 48);
  const h = b.add(x, attention(b, b.rmsNorm(x, 'norm1', { eps: 1e-6 }), { qkNorm: true }));
  b.output('y', b.add(h, gatedMlp(b, b.rmsNorm(h, 'norm2', { eps: 1e-6 }), 'mlp', 'silu')));
}

function gpt2Layer(b: GraphBuilder): void {
  const conv = { layout: 'in,out', bias: true } as const;
  const x = b.input('x', 36);
  const fused = b.linear(b.layerNorm(x, 'ln_1', { eps: 1e-5 }), 'c_attn', 108, { ...conv, parts: [36, 36, 36] });
  const [q, k, v] = b.split(fused, [36, 36, 36]) as [Value, Value, Value];
  const y = b.attention(q, k, v, { heads: 3, kvHeads: 3, headDim: 12 });
  const h = b.add(x, b.linear(y, 'c_proj', 36, conv));
  const inner = b.activation(b.linear(b.layerNorm(h, 'ln_2', { eps: 1e-5 }), 'c_fc', 100, conv), 'gelu_tanh');
  b.output('y', b.add(h, b.linear(inner, 'mlp.c_proj', 36, conv)));
}

function mixtralLayer(b: GraphBuilder): void {
  const x = b.input('x', 40);
  const h = b.add(x, attention(b, b.rmsNorm(x, 'norm1', { eps: 1e-6 })));
  const normed = b.rmsNorm(h, 'norm2', { eps: 1e-6 });
  const routed = b.experts(normed, b.linear(normed, 'gate', 6), {
    count: 6,
    topK: 2,
    normalise: true,
    expert: (e, value, prefix) => gatedMlp(e, value, prefix, 'silu'),
    prefix: (e) => `experts.${e}`,
  });
  const shared = gatedMlp(b, normed, 'shared', 'silu');
  b.output('y', b.add(h, b.add(routed, shared)));
}

function gemmaLayer(b: GraphBuilder): void {
  const x = b.input('x', 48);
  const norm = (value: Value, name: string) => b.rmsNorm(value, name, { eps: 1e-6, weightOffset: 1 });
  const attended = attention(b, norm(x, 'norm1'), { window: 34, softcap: 20 });
  const h = b.add(x, norm(attended, 'norm2'));
  b.output('y', b.add(h, norm(gatedMlp(b, norm(h, 'norm3'), 'mlp', 'gelu_tanh'), 'norm4')));
}

/** Sinks, a biased router, and experts whose gate and up alternate in one biased `in,out` matrix. */
function gptOssLayer(b: GraphBuilder): void {
  const x = b.input('x', 40);
  const h = b.add(x, attention(b, b.rmsNorm(x, 'norm1', { eps: 1e-5 }), { window: 9, sinks: 'attn.sinks' }));
  const normed = b.rmsNorm(h, 'norm2', { eps: 1e-5 });
  const conv = { layout: 'in,out', bias: true } as const;
  const routed = b.experts(normed, b.linear(normed, 'router', 5, { bias: true }), {
    count: 5,
    topK: 2,
    normalise: true,
    expert: (e, value, prefix) => {
      const both = e.linear(value, `${prefix}.gate_up`, 60, conv);
      const [gate, up] = e.deinterleave(both, 2) as [Value, Value];
      return e.linear(e.gated(gate, up, 'gelu_quick', { limit: 1.5, shift: 1 }), `${prefix}.down`, 40, conv);
    },
    prefix: (e) => `experts.${e}`,
  });
  b.output('y', b.add(h, routed));
}

function ends(b: GraphBuilder): void {
  const x = b.embed('embed', 50, 40, { scale: 6.3 });
  b.output('y', b.softcap(b.linear(b.rmsNorm(x, 'norm', { eps: 1e-6 }), 'head', 50), 3));
}
