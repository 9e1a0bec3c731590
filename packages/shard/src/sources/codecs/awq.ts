import type { Codec, CodecCall } from '../source';
import { transposeNumbers } from './shared/transpose';

/** How the codec `awq` reads `qweight` [K, N / 8], `scales` [groups, N] and `qzeros` [groups, N / 8]. */
export interface AwqParams {
  readonly groups: number;
  readonly scale: 'F16' | 'BF16' | 'F32';
}

/** Nibble i of a word belongs to row 8c + ROW_OF[i]. */
const ROW_OF = [0, 2, 4, 6, 1, 3, 5, 7];

export const awq: Codec = {
  name: 'awq',

  rowStep: () => 8,

  convertRows(call) {
    const { shape, from, to, read, out } = call;
    const { groups, scale } = call.params as AwqParams;
    if (out.codes) codes(call, out.codes);
    if (out.scales) {
      const size = scale === 'F32' ? 4 : 2;
      const rowOf = (group: number) => read('scales', (group * shape[0]! + from) * size, (to - from) * size);
      transposeNumbers(rowOf, { rows: groups, columns: to - from, size }, out.scales);
    }
    if (out.zeros) zeros(call, out.zeros);
  },
};

/** Words of rows [from, to) at a column (or a group). */
function wordsAt({ shape, from, to, read }: CodecCall, input: string, at: number, into: Uint8Array): void {
  into.set(read(input, (at * (shape[0]! / 8) + from / 8) * 4, (to - from) / 2));
}

function codes(call: CodecCall, out: Uint8Array): void {
  const columns = call.shape[1]!;
  const words = (call.to - call.from) / 8;
  const rowBytes = columns / 2;
  // Four columns at a time: two bytes of each row, written together.
  const bytes = new Uint8Array(4 * 4 * words);
  const word = new Uint32Array(bytes.buffer);
  for (let k = 0; k < columns; k += 4) {
    const here = Math.min(4, columns - k);
    for (let i = 0; i < here; i++) wordsAt(call, 'qweight', k + i, bytes.subarray(i * 4 * words));
    for (let c = 0; c < words; c++) {
      let w0 = word[c]!;
      let w1 = word[words + c]!;
      let w2 = here === 4 ? word[2 * words + c]! : 0;
      let w3 = here === 4 ? word[3 * words + c]! : 0;
      for (let i = 0; i < 8; i++) {
        const at = (8 * c + ROW_OF[i]!) * rowBytes + k / 2;
        out[at] = (w0 & 15) | ((w1 & 15) << 4);
        if (here === 4) out[at + 1] = (w2 & 15) | ((w3 & 15) << 4);
        w0 >>>= 4;
        w1 >>>= 4;
        w2 >>>= 4;
        w3 >>>= 4;
      }
    }
  }
}

function zeros(call: CodecCall, out: Uint8Array): void {
  const { groups } = call.params as AwqParams;
  const words = (call.to - call.from) / 8;
  const bytes = new Uint8Array(4 * words);
  const word = new Uint32Array(bytes.buffer);
  for (let group = 0; group < groups; group++) {
    wordsAt(call, 'qzeros', group, bytes);
    for (let c = 0; c < words; c++) {
      for (let i = 0; i < 8; i++) out[(8 * c + ROW_OF[i]!) * groups + group] = (word[c]! >>> (4 * i)) & 15;
    }
  }
}
