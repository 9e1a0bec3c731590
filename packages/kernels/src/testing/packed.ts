import { type DType, MetaTensor } from '@airllm/loader';
import { PackedDecoder } from '../packed/decode';
import {
  type BlockNumbers,
  type ComponentName,
  componentsOf,
  constantPlaces,
  type PackedFormat,
} from '../packed/format';
import { componentShape, componentShapes, PackedTensor } from '../packed/packed-tensor';
import { encode, type TestDType } from './encode';
import { randomNumbers, randomValues } from './random';

/** A packed format with what random tensors of it are made of. */
export interface PackedExample {
  readonly name: string;
  readonly format: PackedFormat;
  /** What 4-bit codes pick from, for `table4`. */
  readonly table4?: readonly number[];
  /** What scales and offsets of dtype U8 pick from, and which of its entries they do. */
  readonly table8?: { readonly values: ArrayLike<number>; readonly from: number; readonly to: number };
  /** Largest zero where zeros are U8. @defaultValue 15 */
  readonly mostZero?: number;
  /** Usual size of a code's number, of scales and of supers, whose product the weights shall have. @defaultValue 1 */
  readonly size?: number;
}

/** A random tensor: its components' bytes, and its values. */
export function packExample(
  example: PackedExample,
  name: string,
  shape: readonly number[],
): { tensor: PackedTensor; bytes: Partial<Record<ComponentName, Uint8Array>>; values: Float32Array } {
  const { format } = example;
  const [rows, columns] = shape as [number, number];
  const components: Partial<Record<ComponentName, MetaTensor>> = {};
  const bytes: Partial<Record<ComponentName, Uint8Array>> = {};
  const rowwise = new Set<ComponentName>();
  for (const component of componentsOf(format)) {
    const { dtypes, count } = componentShapes(format, shape)[component]!;
    const dtype = dtypes[0]!;
    const part = `${name}.${component}`;
    const own =
      component === 'constants' || component === 'columns' ? [count] : componentShape(format, shape, component);
    bytes[component] = randomComponent(example, component, part, dtype, count, columns);
    const literal = component === 'constants' ? { literal: bytes[component] } : {};
    components[component] = new MetaTensor({ name: part, dtype, shape: own, ...literal });
    if (own.length === 2) rowwise.add(component);
  }
  const values = new PackedDecoder({ format, columns, firstRow: 0, bytes, rowwise }).rows(0, rows);
  return { tensor: new PackedTensor({ name, shape, format, components }), bytes, values };
}

function randomComponent(
  example: PackedExample,
  component: ComponentName,
  seed: string,
  dtype: DType,
  count: number,
  columns: number,
): Uint8Array {
  const { format, table8, mostZero = 15, size = 1 } = example;
  const next = randomNumbers(seed);
  const integers = (from: number, to: number) =>
    Uint8Array.from({ length: count }, () => from + Math.floor(next() * (to - from)));
  const floats = (deviation: number) => encode(randomValues(seed, count, deviation), dtype as TestDType);
  const numbers = (of: BlockNumbers, deviation: number) =>
    of.dtype === 'U8' ? integers(table8!.from, table8!.to) : floats(of.supers ? 1 : deviation);
  const deviation = columns ** -0.5 / size;
  switch (component) {
    case 'codes':
      // Codes of all ones are NaN in e4m3: see packed-codes.test.ts.
      return format.code === 'e4m3' ? integers(0, 255).map((code) => (code === 127 ? 126 : code)) : integers(0, 256);
    case 'scales':
      return numbers(format.scale, deviation);
    case 'offsets':
      return numbers(format.offset!, deviation * size);
    case 'supers':
    case 'offsetSupers':
      return floats(deviation);
    case 'zeros':
      return dtype === 'U8' ? integers(0, mostZero + 1) : floats(mostZero / 4);
    case 'columns':
      return new Uint8Array(shuffled(count, next).buffer);
    case 'constants':
      return constants(example);
  }
}

function constants({ format, table4, table8 }: PackedExample): Uint8Array {
  const places = constantPlaces(format);
  const all = new Float32Array(places.count);
  if (places.bias !== undefined) all[places.bias] = 0.01;
  if (places.table4 !== undefined) all.set(table4!, places.table4);
  if (places.table8 !== undefined) all.set(table8!.values, places.table8);
  return new Uint8Array(all.buffer);
}

function shuffled(count: number, next: () => number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
