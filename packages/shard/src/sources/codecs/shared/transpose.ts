/** Rows whose numbers are gathered before they are written: few enough for the first cache, many to write in runs. */
const TILE = 16;

/**
 * Transposes a matrix `[rows, columns]` of numbers of `size` bytes, given row by row, into `[columns, rows]`. `rowOf` may
 * give the same memory each time, at any address.
 */
export function transposeNumbers(
  rowOf: (row: number) => Uint8Array,
  { rows, columns, size }: { rows: number; columns: number; size: 2 | 4 },
  out: Uint8Array,
): void {
  const make = (buffer: ArrayBufferLike, offset: number, length: number) =>
    size === 4 ? new Uint32Array(buffer, offset, length) : new Uint16Array(buffer, offset, length);
  const aligned = out.byteOffset % size === 0;
  const target = aligned ? out : new Uint8Array(out.length);
  const numbers = make(target.buffer, target.byteOffset, rows * columns);
  const tileBytes = new Uint8Array(TILE * columns * size);
  const tile = make(tileBytes.buffer, 0, TILE * columns);
  for (let first = 0; first < rows; first += TILE) {
    const count = Math.min(TILE, rows - first);
    for (let i = 0; i < count; i++) tileBytes.set(rowOf(first + i), i * columns * size);
    for (let c = 0; c < columns; c++) {
      const at = c * rows + first;
      for (let i = 0; i < count; i++) numbers[at + i] = tile[i * columns + c]!;
    }
  }
  if (!aligned) out.set(target);
}
