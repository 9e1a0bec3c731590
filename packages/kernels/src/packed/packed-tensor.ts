import { type DType, isMarked, MetaTensor, mark } from '@airllm/loader';
import { GraphError } from '../errors';
import {
  blockCount,
  blocksPerRow,
  type ComponentName,
  checkFormat,
  codeBits,
  componentsOf,
  constantPlaces,
  type PackedFormat,
} from './format';

/** The tensors that a quantised matrix is stored in. */
export type Components = Readonly<Partial<Record<ComponentName, MetaTensor>>>;

/** What a {@link PackedTensor} is made of. */
export interface PackedTensorFields {
  readonly name: string;
  /** `[N, K]`, of the matrix that is meant. */
  readonly shape: readonly number[];
  readonly format: PackedFormat;
  /**
   * Where each component lies. Codes are `[N, bytes of a row]`. Others are `[N, x]` where row n of them belongs to row n
   * of the matrix, and one-dimensional where they come whole with any part of it.
   */
  readonly components: Components;
}

/** A quantised matrix without its bytes: what a `MetaTensor` is for a dense one. */
export class PackedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly format: PackedFormat;
  readonly components: Components;
  readonly device = 'meta';
  /** Of all components. */
  readonly byteLength: number;
  /** Of the matrix that is meant. */
  readonly elementCount: number;

  /** Throws `GraphError` where components do not fit shape and format. */
  constructor(fields: PackedTensorFields) {
    mark(this, 'PackedTensor');
    this.name = fields.name;
    this.shape = fields.shape;
    this.format = fields.format;
    this.components = fields.components;
    checkFormat(this.name, this.format);
    this.#check();
    this.byteLength = this.parts().reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
    this.elementCount = this.shape[0]! * this.shape[1]!;
  }

  static isInstance(value: unknown): value is PackedTensor {
    return isMarked(value, 'PackedTensor');
  }

  /** Components in their order. */
  parts(): readonly (readonly [ComponentName, MetaTensor])[] {
    return componentsOf(this.format).map((name) => [name, this.components[name]!] as const);
  }

  /** A name for people: `4-bit`, `4-bit codebook`, `8-bit`, `FP8`. */
  get label(): string {
    const { code } = this.format;
    return code === 'table4' ? '4-bit codebook' : code === 'u4' ? '4-bit' : code === 'e4m3' ? 'FP8' : '8-bit';
  }

  #check(): void {
    const fail = (reason: string): never => {
      throw new GraphError('weight', `${this.name}: ${reason}`);
    };
    if (this.shape.length !== 2) fail(`only matrices are packed, found shape [${this.shape.join(', ')}]`);
    const expected = componentShapes(this.format, this.shape);
    for (const name of componentsOf(this.format)) {
      const tensor = this.components[name];
      const { dtypes, count } = expected[name]!;
      if (tensor === undefined) fail(`its ${name} are missing`);
      else if (!dtypes.includes(tensor.dtype)) fail(`its ${name} are ${tensor.dtype}, expected ${dtypes.join(' or ')}`);
      else if (tensor.elementCount !== count) fail(`it has ${tensor.elementCount} ${name}, expected ${count}`);
      else if (tensor.shape.length > 2 || (tensor.shape.length === 2 && tensor.shape[0] !== this.shape[0]))
        fail(`its ${name} have shape [${tensor.shape.join(', ')}], expected [${this.shape[0]}, …] or one dimension`);
    }
    if (this.components.codes!.shape.length !== 2) fail('its codes must be [rows, bytes of a row]');
  }
}

/** Dtypes and element counts of a format's components for a matrix of `shape`. */
export function componentShapes(
  format: PackedFormat,
  shape: readonly number[],
): Partial<Record<ComponentName, { dtypes: readonly DType[]; count: number }>> {
  const [rows, columns] = shape as [number, number];
  const blocks = blockCount(format, rows, columns);
  const supers = (every: number) => Math.ceil(blocks / every);
  const { code, scale, zero, offset } = format;
  if (codeBits(code) === 4 && columns % 2 !== 0) {
    throw new GraphError('weight', `4-bit codes need an even number of columns, found ${columns}`);
  }
  const codes: readonly DType[] = code === 'i8' ? ['I8'] : code === 'e4m3' ? ['F8_E4M3', 'U8'] : ['U8'];
  return {
    codes: { dtypes: codes, count: (rows * columns * codeBits(code)) / 8 },
    scales: { dtypes: [scale.dtype], count: blocks },
    ...(scale.supers && { supers: { dtypes: [scale.supers.dtype], count: supers(scale.supers.every) } }),
    ...(typeof zero === 'object' && { zeros: { dtypes: [zero.dtype], count: blocks } }),
    ...(offset && { offsets: { dtypes: [offset.dtype], count: blocks } }),
    ...(offset?.supers && { offsetSupers: { dtypes: [offset.supers.dtype], count: supers(offset.supers.every) } }),
    ...(format.columns && { columns: { dtypes: ['I32'], count: columns } }),
    constants: { dtypes: ['F32'], count: constantPlaces(format).count },
  };
}

/**
 * The shape a component is viewed with: rows of the matrix where they can be told apart, so that a range of rows is a
 * range of bytes; else one dimension.
 */
export function componentShape(format: PackedFormat, shape: readonly number[], name: ComponentName): readonly number[] {
  const [rows, columns] = shape as [number, number];
  const count = componentShapes(format, shape)[name]!.count;
  if (name === 'codes') return [rows, count / rows];
  const perRow = format.flat ? columns / format.block.columns : blocksPerRow(format, columns);
  const rowwise = format.block.rows === 1 && Number.isInteger(perRow);
  if (name === 'scales' || name === 'zeros' || name === 'offsets') return rowwise ? [rows, perRow] : [count];
  const numbers = name === 'supers' ? format.scale : name === 'offsetSupers' ? format.offset : undefined;
  const every = numbers?.supers?.every;
  return rowwise && every !== undefined && perRow % every === 0 ? [rows, perRow / every] : [count];
}

/** The vector of constants of a packed tensor as a tensor: `[bias?, 16 numbers?, 256 numbers?]`. */
export function constantsTensor(name: string, values: Float32Array): MetaTensor {
  const literal = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return new MetaTensor({ name, dtype: 'F32', shape: [values.length], literal });
}
