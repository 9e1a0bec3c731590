import type { Codec, CodecCall } from '../source';
import { BLOCK_OUTPUTS, type BlockOutputs, bytesPerBlock } from './blocks/block-codec';
import { BLOCK_CODECS } from './blocks/block-codecs';

/** What the codec must know of a tensor. */
export interface GgufParams {
  /** ggml's type. */
  readonly type: string;
  /** Values and bytes of one of its blocks. */
  readonly blockValues: number;
  readonly blockBytes: number;
  /** Width of heads whose rows ggml has permuted; absent where rows stay in order. */
  readonly headDim?: number;
  /** Even rows are made of the input `blocks`, odd ones of the input `odd`. */
  readonly interleaved?: true;
  /** Something to be added to every weight; dense F32 only. */
  readonly plus?: number;
}

/** Rewrites ggml's blocks to a packed format, or reorders rows of dense tensors. */
export const ggufCodec: Codec = {
  name: 'gguf',

  rowStep({ params, shape }) {
    const { headDim, interleaved } = params as GgufParams;
    if (shape.length === 1) return 1;
    return headDim ?? (interleaved ? 2 : 1);
  },

  convertRows(call) {
    const params = call.params as GgufParams;
    if (call.out.dense !== undefined) dense(call, params, call.out.dense);
    else packed(call, params);
  },
};

/** A dense row is a run of blocks of one value. */
function dense(call: CodecCall, params: GgufParams, out: Uint8Array): void {
  const vector = call.shape.length === 1;
  // A vector is one row to whoever calls; its values are rows here, so that biases can be permuted like matrices.
  const [from, to] = vector ? [0, call.shape[0]!] : [call.from, call.to];
  const rowBytes = (vector ? 1 : call.shape[1]!) * params.blockBytes;
  forEachRun(call, params, { from, to, rowBytes }, (bytes, row) => out.set(bytes, (row - from) * rowBytes));
  if (params.plus !== undefined) add(out, params.plus);
}

function packed(call: CodecCall, params: GgufParams): void {
  const codec = BLOCK_CODECS[params.type]!;
  const blocks = call.shape[1]! / params.blockValues;
  const { from, to } = call;
  const out = outputs(call, bytesPerBlock(codec.format, params.blockValues), (to - from) * blocks);
  const rowBytes = blocks * params.blockBytes;
  forEachRun(call, params, { from, to, rowBytes }, (bytes, row, rows) => {
    codec.decode(bytes, 0, rows * blocks, out, (row - from) * blocks);
  });
}

/** What the caller wants filled, and room to throw the rest away. */
function outputs(call: CodecCall, bytes: Readonly<Record<keyof BlockOutputs, number>>, blocks: number): BlockOutputs {
  const each = BLOCK_OUTPUTS.map((name) => [name, call.out[name] ?? new Uint8Array(bytes[name] * blocks)]);
  return Object.fromEntries(each) as unknown as BlockOutputs;
}

/** Hands over stored rows in runs that are contiguous in the result. */
function forEachRun(call: CodecCall, { headDim, interleaved }: GgufParams, rows: Rows, take: TakeRows): void {
  const { from, to, rowBytes } = rows;
  if (headDim !== undefined) permutedRows(call, headDim, rows, take);
  else if (interleaved) interleavedRows(call, rows, take);
  else take(call.read('blocks', from * rowBytes, (to - from) * rowBytes), from, to - from);
}

interface Rows {
  readonly from: number;
  readonly to: number;
  readonly rowBytes: number;
}

type TakeRows = (bytes: Uint8Array, row: number, count: number) => void;

/** Row h·d + j·d/2 + i of the result is row h·d + 2i + j of ggml's. */
function permutedRows(call: CodecCall, headDim: number, { from, to, rowBytes }: Rows, take: TakeRows): void {
  const half = headDim / 2;
  for (let head = from; head < to; head += headDim) {
    const bytes = call.read('blocks', head * rowBytes, headDim * rowBytes);
    for (let row = 0; row < headDim; row++) {
      const stored = 2 * (row % half) + Math.floor(row / half);
      take(bytes.subarray(stored * rowBytes, (stored + 1) * rowBytes), head + row, 1);
    }
  }
}

/** One input after the other: what was read is gone with the next read. */
function interleavedRows(call: CodecCall, { from, to, rowBytes }: Rows, take: TakeRows): void {
  const pairs = (to - from) / 2;
  for (const [odd, input] of ['blocks', 'odd'].entries()) {
    const bytes = call.read(input, (from / 2) * rowBytes, pairs * rowBytes);
    for (let i = 0; i < pairs; i++) take(bytes.subarray(i * rowBytes, (i + 1) * rowBytes), from + 2 * i + odd, 1);
  }
}

function add(bytes: Uint8Array, number: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.byteLength; at += 4) view.setFloat32(at, view.getFloat32(at, true) + number, true);
}
