import { floats } from '@airllm/kernels';
import { groupOrder } from '../formats/shared/act-order';
import type { Codec, CodecCall } from '../source';
import { transposeNumbers } from './shared/transpose';

/**
 * How the codec `gptq` reads `qweight` [K · bits / 32, N], `scales` [groups, N], `qzeros` [groups, N · bits / 32] and
 * `g_idx` [K].
 */
export interface GptqParams {
  readonly bits: 2 | 3 | 4 | 8;
  readonly groups: number;
  readonly scale: 'F16' | 'BF16' | 'F32';
  /** Zero points: the middle, as stored, or stored minus one (and borrowed from the next where that was −1). */
  readonly zeros: 'symmetric' | 'stored' | 'minus one';
  /** `permuted`: columns are stored by their groups; `irregular`: groups differ in size, weights become float32. */
  readonly order: 'in order' | 'permuted' | 'irregular';
}

/** What "minus one" subtracted from a whole word, as the writers do it. */
const ONES: Readonly<Record<number, number>> = { 2: 0x55555555, 4: 0x11111111, 8: 0x01010101 };

/** Ranges of whole words of zero points, which 3 bits fill together every 32 rows. */
const ROW_STEP = 32;

export const gptq: Codec = {
  name: 'gptq',

  rowStep: () => ROW_STEP,

  convertRows(call) {
    const { out } = call;
    const { groups, scale } = call.params as GptqParams;
    if (out.dense) dense(call, out.dense);
    if (out.codes) codes(call, out.codes);
    if (out.scales) {
      const { shape, from, to, read } = call;
      const size = scale === 'F32' ? 4 : 2;
      const rowOf = (group: number) => read('scales', (group * shape[0]! + from) * size, (to - from) * size);
      transposeNumbers(rowOf, { rows: groups, columns: to - from, size }, out.scales);
    }
    if (out.zeros) zeros(call, out.zeros);
    if (out.columns) new Int32Array(out.columns.buffer, out.columns.byteOffset, call.shape[1]!).set(orderOf(call));
  },
};

function orderOf({ read, shape }: CodecCall): Int32Array {
  return groupOrder(groupIndex(read, shape[1]!));
}

function groupIndex(read: CodecCall['read'], columns: number): Int32Array {
  return new Int32Array(read('g_idx', 0, 4 * columns).slice().buffer);
}

function codes(call: CodecCall, out: Uint8Array): void {
  const { bits, order } = call.params as GptqParams;
  const [rows, columns] = call.shape as [number, number];
  const { from, to, read } = call;
  if (order === 'in order' && (bits === 4 || bits === 8)) {
    // The codes of a word are four bytes of a row, in the same order.
    const rowOf = (word: number) => read('qweight', (word * rows + from) * 4, (to - from) * 4);
    transposeNumbers(rowOf, { rows: (columns * bits) / 32, columns: to - from, size: 4 }, out);
    return;
  }
  const columnOrder = order === 'permuted' ? orderOf(call) : Int32Array.from({ length: columns }, (_, k) => k);
  const unpacked = unpack(call);
  if (bits === 8) gather(unpacked, columnOrder, out);
  else gatherNibbles(unpacked, columnOrder, out);
}

/** Columns of each row in another order. */
function gather(codes: Uint8Array, order: Int32Array, out: Uint8Array): void {
  const columns = order.length;
  for (let at = 0; at < codes.length; at += columns) {
    for (let i = 0; i < columns; i++) out[at + i] = codes[at + order[i]!]!;
  }
}

/** The same, two to a byte. */
function gatherNibbles(codes: Uint8Array, order: Int32Array, out: Uint8Array): void {
  const columns = order.length;
  let to = 0;
  for (let at = 0; at < codes.length; at += columns) {
    for (let i = 0; i < columns; i += 2) {
      out[to++] = codes[at + order[i]!]! | (codes[at + order[i + 1]!]! << 4);
    }
  }
}

/** Codes that `bits` words hold together, whatever they straddle. */
const RUN = 32;

/** Codes of rows [from, to), a byte each, `[rows, K]`. */
function unpack({ params, shape, from, to, read }: CodecCall): Uint8Array {
  const { bits } = params as GptqParams;
  const [rows, columns] = shape as [number, number];
  const count = to - from;
  const out = new Uint8Array(count * columns);
  const words = new Uint32Array((bits + 1) * count);
  const bytes = new Uint8Array(words.buffer);
  const mask = 2 ** bits - 1;
  const wordOf = Int32Array.from({ length: RUN }, (_, i) => ((i * bits) >> 5) * count);
  const shiftOf = Int32Array.from({ length: RUN }, (_, i) => (i * bits) & 31);
  for (let first = 0; first < columns; first += RUN) {
    const here = Math.min(RUN, columns - first);
    const wordsHere = (here * bits) / 32;
    for (let w = 0; w < wordsHere; w++) {
      bytes.set(read('qweight', (((first * bits) / 32 + w) * rows + from) * 4, 4 * count), 4 * w * count);
    }
    for (let row = 0; row < count; row++) {
      const at = row * columns + first;
      for (let i = 0; i < here; i++) {
        const word = wordOf[i]! + row;
        const shift = shiftOf[i]!;
        // The upper half of the two words a code may lie in; a shift by 32 would do nothing, and is of no bits.
        const over = shift + bits > 32 ? words[word + count]! << (32 - shift) : 0;
        out[at + i] = ((words[word]! >>> shift) | over) & mask;
      }
    }
  }
  return out;
}

/** Zero points of rows [from, to), `[rows, groups]`. */
function zeros(call: CodecCall, out: Uint8Array): void {
  const { groups } = call.params as GptqParams;
  const count = call.to - call.from;
  for (let group = 0; group < groups; group++) {
    const own = zerosOfGroup(call, group);
    for (let row = 0; row < count; row++) out[row * groups + group] = own[row]!;
  }
}

/** Of one group, for rows [from, to). */
function zerosOfGroup({ params, shape, from, to, read }: CodecCall, group: number): Uint16Array {
  const { bits, zeros } = params as GptqParams;
  const out = new Uint16Array(to - from);
  if (zeros === 'symmetric') return out.fill(2 ** (bits - 1));
  const rowWords = (shape[0]! * bits) / 32;
  const firstWord = (from * bits) / 32;
  const count = Math.ceil((to * bits) / 32) - firstWord;
  const words = new Uint32Array(read('qzeros', (group * rowWords + firstWord) * 4, 4 * count).slice().buffer);
  const ones = zeros === 'minus one' ? ONES[bits] : undefined;
  if (ones !== undefined) for (let w = 0; w < count; w++) words[w] = words[w]! + ones;
  const mask = 2 ** bits - 1;
  for (let row = 0; row < out.length; row++) {
    const bit = row * bits;
    const shift = bit & 31;
    let zero = words[bit >> 5]! >>> shift;
    if (shift + bits > 32) zero |= words[(bit >> 5) + 1]! << (32 - shift);
    zero &= mask;
    // Three bits straddle words, so that their writers cannot have borrowed across.
    out[row] = zeros === 'minus one' && ones === undefined ? (zero + 1) & mask : zero;
  }
  return out;
}

function dense(call: CodecCall, out: Uint8Array): void {
  const { shape, from, to, read } = call;
  const { groups, scale } = call.params as GptqParams;
  const [rows, columns] = shape as [number, number];
  const count = to - from;
  const unpacked = unpack(call);
  const size = scale === 'F32' ? 4 : 2;
  const scaleOf = Array.from({ length: groups }, (_, g) =>
    floats(scale, read('scales', (g * rows + from) * size, count * size)),
  );
  const zeroOf = Array.from({ length: groups }, (_, g) => zerosOfGroup(call, g));
  const group = groupIndex(read, columns);
  const values = new Float32Array(out.buffer, out.byteOffset, count * columns);
  for (let k = 0; k < columns; k++) {
    const scales = scaleOf[group[k]!]!;
    const zeros = zeroOf[group[k]!]!;
    for (let row = 0; row < count; row++) {
      values[row * columns + k] = (unpacked[row * columns + k]! - zeros[row]!) * scales[row]!;
    }
  }
}
