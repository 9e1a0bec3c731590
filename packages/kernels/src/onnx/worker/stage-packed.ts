import type { PackedDecoder, PackedSource } from '../../packed/decode';
import type { PackedForm } from '../packed-form';
import { PIECE_BYTES } from '../sizes';
import type { Backend, DeviceBuffer } from './backend';
import { buffersOf, type PackedPiece, type PackedWeight } from './weights';

/** A packed matrix, or a range of its rows, and what reads its numbers. */
export interface PackedMatrix {
  readonly source: PackedSource;
  readonly decoder: PackedDecoder;
  readonly rows: number;
}

/** Keeps a packed matrix as MatMulNBits takes it; undefined if one of its zeros does not fit. */
export async function stagePacked(
  backend: Backend,
  form: PackedForm,
  matrix: PackedMatrix,
): Promise<PackedWeight | undefined> {
  const { source, rows } = matrix;
  const { columns } = source;
  const most = Math.max(1, Math.floor((8 * PIECE_BYTES) / (form.bits * columns)));
  const pieces: PackedPiece[] = [];
  let order: DeviceBuffer | undefined;
  const weight = () => ({ pieces, columns, form, order });
  try {
    if (form.permutes) order = await backend.upload(source.bytes.columns!);
    for (let from = 0; from < rows; from += most) {
      const piece = await stagePiece(backend, form, matrix, { from, rows: Math.min(most, rows - from) });
      if (piece === undefined) break;
      pieces.push(piece);
    }
    if (pieces.length === Math.ceil(rows / most)) return weight();
  } catch (error) {
    for (const buffer of buffersOf(weight())) backend.free(buffer);
    throw error;
  }
  for (const buffer of buffersOf(weight())) backend.free(buffer);
  return undefined;
}

async function stagePiece(
  backend: Backend,
  form: PackedForm,
  { source, decoder }: PackedMatrix,
  { from, rows }: { readonly from: number; readonly rows: number },
): Promise<PackedPiece | undefined> {
  const perRow = source.columns / form.block;
  const row = source.firstRow + from;
  const zeros = form.zeros ? zerosOf(form, decoder, { row, rows, perRow }) : undefined;
  if (form.zeros && zeros === undefined) return undefined;
  const scales = Float32Array.from({ length: rows * perRow }, (_, n) => decoder.blockScale(row * perRow + n));
  return {
    type: 'packed',
    rows,
    buffer: await backend.upload(codesOf(form, source, from, rows)),
    scales: await backend.upload(new Uint8Array(scales.buffer)),
    zeros: zeros && (await backend.upload(zeros)),
  };
}

/** The even column in the low half of a byte; signed bytes moved up by 128. */
function codesOf({ bits }: PackedForm, { format, columns, bytes }: PackedSource, from: number, rows: number) {
  const rowBytes = (columns * bits) / 8;
  const codes = bytes.codes!.slice(from * rowBytes, (from + rows) * rowBytes);
  if (format.code === 'i8') for (let n = 0; n < codes.length; n++) codes[n] = codes[n]! ^ 0x80;
  if (format.nibbles === 'high') {
    for (let n = 0; n < codes.length; n++) codes[n] = ((codes[n]! << 4) & 0xf0) | (codes[n]! >> 4);
  }
  return codes;
}

/** Rows of zeros, 4-bit ones two to a byte. */
function zerosOf(
  { bits }: PackedForm,
  decoder: PackedDecoder,
  { row, rows, perRow }: { readonly row: number; readonly rows: number; readonly perRow: number },
): Uint8Array | undefined {
  const most = 2 ** bits - 1;
  const rowBytes = Math.ceil((perRow * bits) / 8);
  const packed = new Uint8Array(rows * rowBytes);
  for (let r = 0; r < rows; r++) {
    for (let b = 0; b < perRow; b++) {
      const zero = decoder.blockZero((row + r) * perRow + b);
      if (zero > most) return undefined;
      const at = r * rowBytes + ((b * bits) >> 3);
      packed[at] = packed[at]! | (zero << (bits === 4 && b % 2 === 1 ? 4 : 0));
    }
  }
  return packed;
}
