import { type DType, decodeToFloat32, dtypeBits, type MetaTensor } from '@airllm/loader';
import { GraphError } from '../errors';
import {
  type BlockDType,
  blocksPerRow,
  type ComponentName,
  codeBits,
  constantPlaces,
  type PackedFormat,
} from './format';
import { E4M3 } from './numbers';
import type { PackedTensor } from './packed-tensor';

/** What a decoder needs to know of a matrix, or of a range of its rows. */
export interface PackedSource {
  readonly format: PackedFormat;
  /** K of the whole matrix. */
  readonly columns: number;
  /** The matrix's row that the given row-wise bytes begin with. */
  readonly firstRow: number;
  /** Row-wise components from `firstRow` on, the others whole. */
  readonly bytes: Readonly<Partial<Record<ComponentName, Uint8Array>>>;
  /** Components that come row by row: those whose tensors have two dimensions. */
  readonly rowwise: ReadonlySet<ComponentName>;
}

/**
 * Decodes rows of a packed matrix to float32, in the order of the matrix's own columns. Plain and exact: what native
 * kernels are held against, and what conversions are checked with.
 */
export class PackedDecoder {
  readonly #source: PackedSource;
  readonly #numbers: (codes: Uint8Array, byte: number, column: number) => number;
  readonly #scale: (block: number) => number;
  readonly #zero: (block: number) => number;
  readonly #offset: (block: number) => number;
  readonly #columns: Int32Array | undefined;

  constructor(source: PackedSource) {
    this.#source = source;
    const { format } = source;
    const places = constantPlaces(format);
    const constants = places.count > 0 ? floats('F32', this.#bytes('constants')) : new Float32Array(0);
    const table8 = places.table8 === undefined ? undefined : constants.subarray(places.table8, places.table8 + 256);
    this.#numbers = numberReader(format, places.table4 === undefined ? undefined : constants.subarray(places.table4));
    const bias = places.bias === undefined ? undefined : constants[places.bias]!;
    this.#scale = this.#perBlock('scales', 'supers', format.scale, table8, bias);
    this.#offset = format.offset ? this.#perBlock('offsets', 'offsetSupers', format.offset, table8) : () => 0;
    const { zero } = format;
    const fixed = typeof zero === 'number' ? zero : 0;
    this.#zero = typeof zero === 'object' ? this.#stored('zeros', zero.dtype) : () => fixed;
    const columns = format.columns ? this.#bytes('columns').slice() : undefined;
    this.#columns = columns && new Int32Array(columns.buffer);
  }

  /** Of a whole matrix, with components read from where they lie. Throws as `MetaTensor.materialize` does. */
  static async of(tensor: PackedTensor): Promise<PackedDecoder> {
    const bytes: Partial<Record<ComponentName, Uint8Array>> = {};
    const rowwise = new Set<ComponentName>();
    for (const [name, component] of tensor.parts()) {
      bytes[name] = await bytesOf(component);
      if (component.shape.length === 2) rowwise.add(name);
    }
    return new PackedDecoder({ format: tensor.format, columns: tensor.shape[1]!, firstRow: 0, bytes, rowwise });
  }

  /** Rows from `from` on, `[count, K]`. */
  rows(from: number, count: number): Float32Array<ArrayBuffer> {
    const { columns } = this.#source;
    const out = new Float32Array(count * columns);
    for (let r = 0; r < count; r++) this.row(from + r, out.subarray(r * columns, (r + 1) * columns));
    return out;
  }

  /** Writes row `row` of the matrix into `out` of K numbers. */
  row(row: number, out: Float32Array): void {
    const { format, columns, firstRow } = this.#source;
    const codes = this.#bytes('codes');
    const rowBytes = (columns * codeBits(format.code)) / 8;
    const at = (row - firstRow) * rowBytes;
    const order = this.#columns;
    for (let k = 0; k < columns; k++) {
      const block = this.#block(row, k);
      const code = this.#numbers(codes, at, k);
      const scaled = Math.fround(Math.fround(code - this.#zero(block)) * this.#scale(block));
      out[order === undefined ? k : order[k]!] = format.offset ? scaled + this.#offset(block) : scaled;
    }
  }

  /** What the codes of `count` blocks are multiplied with; blocks are counted over the whole matrix. */
  blockScales(first: number, count: number): Float32Array<ArrayBuffer> {
    const scales = new Float32Array(count);
    for (let n = 0; n < count; n++) scales[n] = this.#scale(first + n);
    return scales;
  }

  /** Number of a weight's block in the whole matrix. */
  #block(row: number, column: number): number {
    const { format, columns } = this.#source;
    if (format.flat) return Math.floor((row * columns + column) / format.block.columns);
    return (
      Math.floor(row / format.block.rows) * blocksPerRow(format, columns) + Math.floor(column / format.block.columns)
    );
  }

  #perBlock(
    name: ComponentName,
    superName: ComponentName,
    numbers: PackedFormat['scale'],
    table: Float32Array | undefined,
    bias?: number,
  ): (block: number) => number {
    const read = this.#stored(name, numbers.dtype);
    const picked = numbers.dtype === 'U8' ? (block: number) => table![read(block)]! : read;
    const { supers } = numbers;
    const readSuper = supers && this.#stored(superName, supers.dtype, supers.every);
    return (block) => {
      let value = picked(block);
      if (readSuper) value = Math.fround(value * readSuper(block));
      return bias === undefined ? value : Math.fround(value + bias);
    };
  }

  /** The number a component holds for a block; `every` blocks share one. */
  #stored(name: ComponentName, dtype: BlockDType, every = 1): (block: number) => number {
    const values = dtype === 'U8' ? this.#bytes(name) : floats(dtype, this.#bytes(name));
    const { format, columns, firstRow, rowwise } = this.#source;
    const perRow = format.flat ? columns / format.block.columns : blocksPerRow(format, columns);
    const skipped = rowwise.has(name) ? Math.round((firstRow * perRow) / every) : 0;
    return (block) => values[Math.floor(block / every) - skipped]!;
  }

  #bytes(name: ComponentName): Uint8Array {
    const bytes = this.#source.bytes[name];
    if (bytes === undefined) throw new GraphError('weight', `the ${name} of a packed matrix were not given`);
    return bytes;
  }
}

function numberReader(
  format: PackedFormat,
  table: Float32Array | undefined,
): (codes: Uint8Array, byte: number, column: number) => number {
  const shift = format.nibbles === 'high' ? 4 : 0;
  switch (format.code) {
    case 'u4':
      return (codes, byte, k) => (codes[byte + (k >> 1)]! >> (k % 2 === 0 ? shift : 4 - shift)) & 15;
    case 'table4':
      return (codes, byte, k) => table![(codes[byte + (k >> 1)]! >> (k % 2 === 0 ? shift : 4 - shift)) & 15]!;
    case 'u8':
      return (codes, byte, k) => codes[byte + k]!;
    case 'i8':
      return (codes, byte, k) => (codes[byte + k]! << 24) >> 24;
    case 'e4m3':
      return (codes, byte, k) => E4M3[codes[byte + k]!]!;
  }
}

async function bytesOf(tensor: MetaTensor): Promise<Uint8Array> {
  using host = await tensor.materialize();
  return host.bytes().slice();
}

/** Little-endian floats (F32, F16, BF16) at any address, as float32. */
export function floats(dtype: DType, bytes: Uint8Array): Float32Array {
  return decodeToFloat32(dtype, bytes, (bytes.byteLength * 8) / dtypeBits(dtype));
}
