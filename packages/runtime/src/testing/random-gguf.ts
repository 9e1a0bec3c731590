/** ggml's numbers of types, and of metadata values. */
const [F32, Q8_0] = [0, 8];
const [UINT32, FLOAT32, STRING] = [4, 6, 8];
const ALIGNMENT = 32;

interface Tensor {
  readonly name: string;
  /** Fastest first. */
  readonly dimensions: readonly number[];
}

/** A GGUF file of a small llama with random weights: matrices in Q8_0, in the order of the layers, and no tokenizer. */
export function randomGguf({ hidden = 256, layers = 8, vocab = 512 } = {}): Uint8Array {
  const metadata = {
    block_count: layers,
    embedding_length: hidden,
    feed_forward_length: 2 * hidden,
    context_length: 64,
    'attention.head_count': hidden / 64,
  };
  const tensors = tensorsOf(hidden, layers, vocab);
  const parts = [
    ...[bytes('GGUF'), u32(3), u64(tensors.length), u64(Object.keys(metadata).length + 2)],
    ...[text('general.architecture'), u32(STRING), text('llama')],
    ...[text('llama.attention.layer_norm_rms_epsilon'), u32(FLOAT32), Buffer.from(Float32Array.of(1e-5).buffer)],
    ...Object.entries(metadata).flatMap(([key, value]) => [text(`llama.${key}`), u32(UINT32), u32(value)]),
  ];
  let offset = 0;
  for (const { name, dimensions } of tensors) {
    const type = dimensions.length === 1 ? F32 : Q8_0;
    parts.push(text(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset));
    offset += Math.ceil(weightsOf(dimensions).length / ALIGNMENT) * ALIGNMENT;
  }
  const header = Buffer.concat(parts);
  return Buffer.concat([padded(header), ...tensors.map(({ dimensions }) => padded(weightsOf(dimensions)))]);
}

function tensorsOf(hidden: number, layers: number, vocab: number): Tensor[] {
  const layer = (index: number): Tensor[] => {
    const named = (name: string, ...dimensions: number[]) => ({ name: `blk.${index}.${name}.weight`, dimensions });
    return [
      named('attn_norm', hidden),
      ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].map((name) => named(name, hidden, hidden)),
      named('ffn_norm', hidden),
      named('ffn_gate', hidden, 2 * hidden),
      named('ffn_up', hidden, 2 * hidden),
      named('ffn_down', 2 * hidden, hidden),
    ];
  };
  return [
    { name: 'token_embd.weight', dimensions: [hidden, vocab] },
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
    { name: 'output_norm.weight', dimensions: [hidden] },
    { name: 'output.weight', dimensions: [hidden, vocab] },
  ];
}

/** Norms of ones; blocks of a scale of 2^-9 and 32 random bytes. */
function weightsOf(dimensions: readonly number[]): Buffer {
  const count = dimensions.reduce((product, size) => product * size, 1);
  if (dimensions.length === 1) return Buffer.from(new Float32Array(count).fill(1).buffer);
  const blocks = Buffer.alloc((count / 32) * 34);
  let seed = count;
  for (let at = 0; at < blocks.length; at++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    blocks[at] = seed >>> 24;
  }
  for (let at = 0; at < blocks.length; at += 34) blocks.writeUInt16LE(0x1800, at);
  return blocks;
}

const bytes = (value: string): Buffer => Buffer.from(value, 'utf8');
const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), bytes(value)]);
const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value: number): Buffer => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);

function padded(content: Uint8Array): Buffer {
  return Buffer.concat([content, Buffer.alloc((ALIGNMENT - (content.length % ALIGNMENT)) % ALIGNMENT)]);
}
