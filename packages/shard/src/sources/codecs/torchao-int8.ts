import type { Codec, CodecCall } from '../source';

/** How the codec `torchao-int8` reads its inputs: `codes` and `zeros` (I8), and `scales`. */
export interface TorchaoInt8Params {
  /** Of one scale. */
  readonly scaleBytes: number;
  /** Null where blocks have more than one row: then scales and zeros come whole. */
  readonly blocksPerRow: number | null;
}

/** (code − zero) · scale with signed codes and zeros, as unsigned ones: both move by 128. */
export const torchaoInt8: Codec = {
  name: 'torchao-int8',

  rowStep: () => 1,

  convertRows(call) {
    const { params, shape, from, to, read, out } = call;
    const { scaleBytes } = params as TorchaoInt8Params;
    const columns = shape.at(-1)!;
    if (out.codes) moveBy128(read('codes', from * columns, (to - from) * columns), out.codes);
    if (out.scales) out.scales.set(perBlock(call, 'scales', scaleBytes, out.scales.length));
    if (out.zeros) moveBy128(perBlock(call, 'zeros', 1, out.zeros.length), out.zeros);
  },
};

/** Bytes of an input for the rows of a call, or all of them. */
function perBlock({ params, from, read }: CodecCall, input: string, bytes: number, length: number): Uint8Array {
  const { blocksPerRow } = params as TorchaoInt8Params;
  return read(input, blocksPerRow === null ? 0 : from * blocksPerRow * bytes, length);
}

function moveBy128(bytes: Uint8Array, out: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) out[i] = bytes[i]! ^ 0x80;
}
