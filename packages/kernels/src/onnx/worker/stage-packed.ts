import { dtypeBits } from '@airllm/loader';
import { floats, type PackedSource } from '../../packed/decode';
import { constantPlaces } from '../../packed/format';
import type { PackedForm } from '../packed-form';
import { PIECE_BYTES } from '../sizes';
import type { Backend, DeviceBuffer, StagingMemory } from './backend';
import type { NumberReader } from './numbers';
import type { PackedMatrix } from './packed-matrix';
import { type Bnb4Table, buffersOf, type PackedPiece, type PackedWeight } from './weights';

/** bitsandbytes' numbers of a code, as onnxruntime has them: quantiles of the normal distribution, and FP4's half. */
const NF4 = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];
const FP4 = [0, 1 / 192, 2 / 3, 1, 1 / 3, 1 / 2, 1 / 6, 1 / 4];
const TABLES: Readonly<Record<Bnb4Table, readonly number[]>> = { NF4, FP4: [...FP4, ...FP4.map((value) => -value)] };

/** Keeps a packed matrix in a form; undefined if one of its zeros, or its table, does not fit. */
export async function stagePacked(
  backend: Backend,
  memory: StagingMemory,
  form: PackedForm,
  matrix: PackedMatrix,
): Promise<PackedWeight | undefined> {
  const { source, rows } = matrix;
  const { columns } = source;
  const most = Math.max(1, Math.floor((8 * PIECE_BYTES) / (form.bits * columns)));
  const table = form.kind === 'bnb4' ? tableOf(source) : undefined;
  if (form.kind === 'bnb4' && table === undefined) return undefined;
  const pieces: PackedPiece[] = [];
  let order: DeviceBuffer | undefined;
  const weight = () => ({ pieces, columns, form, order, table });
  try {
    if (form.permutes) order = await backend.upload(source.bytes.columns!.slice());
    for (let from = 0; from < rows; from += most) {
      const piece = await stagePiece(backend, memory, form, matrix, { from, rows: Math.min(most, rows - from) });
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

/** Which of the two a matrix has. */
function tableOf({ format, bytes }: PackedSource): Bnb4Table | undefined {
  const at = constantPlaces(format).table4!;
  const numbers = floats('F32', bytes.constants!).subarray(at, at + 16);
  const is = (table: Bnb4Table) => TABLES[table].every((value, code) => Math.abs(value - numbers[code]!) < 1e-6);
  return is('NF4') ? 'NF4' : is('FP4') ? 'FP4' : undefined;
}

interface Rows {
  readonly from: number;
  readonly rows: number;
}

async function stagePiece(
  backend: Backend,
  memory: StagingMemory,
  form: PackedForm,
  matrix: PackedMatrix,
  range: Rows,
): Promise<PackedPiece | undefined> {
  const zeros = form.zeros ? zerosOf(form, matrix, range) : undefined;
  if (form.zeros && zeros === undefined) return undefined;
  return {
    type: 'packed',
    rows: range.rows,
    buffer: await backend.upload(codesOf(memory, form, matrix, range)),
    scales: await backend.upload(scalesOf(backend.numbers, memory, form, matrix, range)),
    zeros: zeros && (await backend.upload(zeros)),
  };
}

/** MatMulNBits' even column in the low half of a byte; signed bytes moved up by 128. Four bytes at a time. */
function codesOf(
  memory: StagingMemory,
  { bits, kind }: PackedForm,
  { source }: PackedMatrix,
  { from, rows }: Rows,
): Uint8Array {
  const { format, columns, bytes } = source;
  const rowBytes = (columns * bits) / 8;
  const length = Math.ceil((rows * rowBytes) / 4);
  const words = new Uint32Array(memory.room(4 * length), 0, length);
  const codes = new Uint8Array(words.buffer, 0, rows * rowBytes);
  codes.set(bytes.codes!.subarray(from * rowBytes, (from + rows) * rowBytes));
  if (format.code === 'i8') for (let n = 0; n < words.length; n++) words[n] = words[n]! ^ 0x80808080;
  if (format.nibbles === 'high' && kind === 'nbits') {
    for (let n = 0; n < words.length; n++) {
      words[n] = ((words[n]! << 4) & 0xf0f0f0f0) | ((words[n]! >>> 4) & 0x0f0f0f0f);
    }
  }
  return codes;
}

/** Float32, one per block. */
function scalesOf(
  numbers: NumberReader,
  memory: StagingMemory,
  form: PackedForm,
  matrix: PackedMatrix,
  { from, rows }: Rows,
): Uint8Array {
  const { source } = matrix;
  const { dtype, supers, bias } = source.format.scale;
  const perRow = source.columns / form.block;
  const count = rows * perRow;
  if (dtype === 'U8' || supers !== undefined || bias || !source.rowwise.has('scales')) {
    return new Uint8Array(matrix.decoder.blockScales((source.firstRow + from) * perRow, count).buffer);
  }
  const rowBytes = (perRow * dtypeBits(dtype)) / 8;
  const bytes = source.bytes.scales!.subarray(from * rowBytes, (from + rows) * rowBytes);
  const { buffer, byteLength } = numbers.floats({ dtype, bytes, count }, memory.room(4 * count));
  return new Uint8Array(buffer, 0, byteLength);
}

/** Rows of zeros, 4-bit ones two to a byte; undefined where one has more bits. */
function zerosOf({ bits, block }: PackedForm, matrix: PackedMatrix, { from, rows }: Rows): Uint8Array | undefined {
  const { source } = matrix;
  const perRow = source.columns / block;
  const first = (source.rowwise.has('zeros') ? from : source.firstRow + from) * perRow;
  const zeros = source.bytes.zeros!.subarray(first, first + rows * perRow);
  if (bits === 8) return zeros.slice();
  const rowBytes = Math.ceil(perRow / 2);
  const packed = new Uint8Array(rows * rowBytes);
  let seen = 0;
  for (let r = 0; r < rows; r++) {
    for (let b = 0; b < perRow; b++) {
      const zero = zeros[r * perRow + b]!;
      const at = r * rowBytes + (b >> 1);
      packed[at] = packed[at]! | (zero << (4 * (b & 1)));
      seen |= zero;
    }
  }
  return seen > 15 ? undefined : packed;
}
