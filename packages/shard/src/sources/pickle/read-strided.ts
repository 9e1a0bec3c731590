import { dtypeBits, type Extent, OptionError } from '@airllm/loader';
import type { StridedTensor } from './pickle-tensor';

/**
 * Rows of a tensor; `end` is the first one left out. A row is the last dimension (`[2, 3, 4]` has 6 of them); of a tensor
 * of one dimension each element is a row.
 */
export interface RowRange {
  readonly start: number;
  readonly end: number;
}

/** One read of a gathering, and what to do with its bytes. */
export interface StridedRead {
  /** Of at most the window's bytes. */
  readonly extent: Extent;
  /** Puts the elements that lie in `bytes` (those of the extent) to their places in `out` (all bytes of the rows). */
  scatter(bytes: Uint8Array, out: Uint8Array): void;
}

/** Which rows, into what, and with how much memory. */
export interface ReadStridedOptions {
  /** Gather into this instead of a new array: the rows' bytes, at a multiple of 4 within its memory. */
  into?: Uint8Array | undefined;
  /** Bytes read at once (default 4 MiB): all the memory it takes beside the result. */
  windowBytes?: number | undefined;
  signal?: AbortSignal | undefined;
}

const WINDOW_BYTES = 4 * 2 ** 20;
/** A hole of at least this many bytes between elements is skipped rather than read. */
const SKIP_BYTES = 32 * 2 ** 10;

/**
 * Brings rows of a strided tensor into order: row-major, as safetensors wants it. `read` fills the whole array from an
 * extent. A transposed matrix touches nearly all of its storage for any rows, so ask for many rows at once.
 * Throws `OptionError` for rows that are not there and an array that does not fit, and whatever `read` throws.
 */
export async function readStrided(
  tensor: StridedTensor,
  rows: RowRange,
  read: (extent: Extent, into: Uint8Array) => Promise<void> | void,
  options: ReadStridedOptions = {},
): Promise<Uint8Array> {
  checkRows(tensor, rows);
  const byteLength = rangeBytes(tensor, rows);
  const out = options.into ?? new Uint8Array(byteLength);
  let window = new Uint8Array(0);
  for (const { extent, scatter } of stridedReads(tensor, rows, options.windowBytes)) {
    options.signal?.throwIfAborted();
    if (window.length < extent.length) window = new Uint8Array(extent.length);
    const bytes = window.subarray(0, extent.length);
    await read(extent, bytes);
    scatter(bytes, out);
  }
  return out;
}

/** The reads behind {@link readStrided}, for callers that read in a way of their own. Throws `OptionError`. */
export function* stridedReads(
  tensor: StridedTensor,
  rows: RowRange,
  windowBytes: number = WINDOW_BYTES,
): Generator<StridedRead> {
  checkRows(tensor, rows);
  const width = dtypeBits(tensor.dtype) / 8;
  const lane = width === 8 ? 4 : (width as Lane);
  const window = Math.max(1, Math.floor(windowBytes / lane));
  const outBytes = rangeBytes(tensor, rows);
  const { file, offset } = tensor.storage;
  for (const box of boxesOf(tensor, rows, width / lane)) {
    const moving = box.axes.filter(({ from }) => from > 0);
    for (const range of touched(moving, 0, box.from, SKIP_BYTES / lane)) {
      for (let low = range.low; low < range.high; low += window) {
        const high = Math.min(low + window, range.high);
        yield {
          extent: { file, offset: offset + low * lane, length: (high - low) * lane },
          scatter: (bytes, out) => {
            const source = lanes(bytes, lane, (high - low) * lane, 'bytes');
            const target = lanes(out, lane, outBytes, 'out');
            copy({ axes: box.axes, source, low, high, target }, 0, box.from, box.to);
          },
        };
      }
    }
  }
}

type Lane = 1 | 2 | 4;
type Lanes = Uint8Array | Uint16Array | Uint32Array;

/** One dimension: how many indices, and lanes from one to the next in the storage and in the result. */
interface Axis {
  readonly size: number;
  readonly from: number;
  readonly to: number;
  /** Lanes that one index covers in the storage, from the first to behind the last. */
  span: number;
}

/** A part of a tensor with a range of indices in each dimension; places are of its first element, in lanes. */
interface Box {
  readonly axes: readonly Axis[];
  readonly from: number;
  readonly to: number;
}

/** A range of rows may begin and end amid the outer dimensions: at most two boxes per dimension, in order. */
function boxesOf(tensor: StridedTensor, rows: RowRange, lanesPerElement: number): Box[] {
  const { shape, strides } = asRows(tensor);
  const boxes: Box[] = [];
  const add = (level: number, at: number, start: number, end: number, row: number) => {
    if (start === end) return;
    // Rows that one index of this dimension holds.
    const inner = shape.slice(level + 1, -1).reduce((product, size) => product * size, 1);
    const first = Math.ceil(start / inner);
    const last = Math.floor(end / inner);
    if (first > last) {
      // Within one index: neither its beginning nor its end.
      const [skipped, base] = [last * inner, at + last * strides[level]!];
      add(level + 1, base, start - skipped, end - skipped, row);
      return;
    }
    const [head, tail] = [first * inner - start, end - last * inner];
    if (head > 0) add(level + 1, at + (first - 1) * strides[level]!, inner - head, inner, row);
    if (last > first) {
      const axes = axesOf([last - first, ...shape.slice(level + 1)], strides.slice(level), lanesPerElement);
      const to = (row + head) * shape.at(-1)!;
      boxes.push({ axes, from: (at + first * strides[level]!) * lanesPerElement, to: to * lanesPerElement });
    }
    if (tail > 0) add(level + 1, at + last * strides[level]!, 0, tail, row + end - tail - start);
  };
  add(0, 0, rows.start, rows.end, 0);
  return boxes;
}

/** In the order of the storage: repeated axes (stride 0) first, then the farthest apart; what lies together is one. */
function axesOf(sizes: readonly number[], strides: readonly number[], lanesPerElement: number): Axis[] {
  const all: Axis[] = [{ size: lanesPerElement, from: 1, to: 1, span: 1 }];
  let to = lanesPerElement;
  for (let i = sizes.length - 1; i >= 0; i--) {
    all.push({ size: sizes[i]!, from: strides[i]! * lanesPerElement, to, span: 1 });
    to *= sizes[i]!;
  }
  const distance = (axis: Axis) => (axis.from === 0 ? Number.POSITIVE_INFINITY : axis.from);
  const sorted = all.filter(({ size }) => size > 1).sort((a, b) => compare(distance(b), distance(a)) || b.to - a.to);
  const axes: Axis[] = [];
  for (const axis of sorted) {
    const outer = axes.at(-1);
    const joined = outer?.from === axis.from * axis.size && outer.to === axis.to * axis.size;
    if (joined) axes[axes.length - 1] = { ...axis, size: outer.size * axis.size };
    else axes.push(axis);
  }
  if (axes.length === 0) axes.push({ size: 1, from: 1, to: 1, span: 1 });
  let span = 1;
  for (const axis of [...axes].reverse()) {
    axis.span = span;
    span += (axis.size - 1) * axis.from;
  }
  return axes;
}

function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Ranges of the storage that elements lie in, without large holes, in ascending order. */
function* touched(
  axes: readonly Axis[],
  level: number,
  at: number,
  skip: number,
): Generator<{ low: number; high: number }> {
  const axis = axes[level];
  if (axis !== undefined && axis.from - axis.span >= skip) {
    for (let i = 0; i < axis.size; i++) yield* touched(axes, level + 1, at + i * axis.from, skip);
    return;
  }
  const length = axis === undefined ? 1 : axis.span + (axis.size - 1) * axis.from;
  yield { low: at, high: at + length };
}

interface Copy {
  readonly axes: readonly Axis[];
  /** The storage from `low` to `high`. */
  readonly source: Lanes;
  readonly low: number;
  readonly high: number;
  readonly target: Lanes;
}

/** Copies what lies between `low` and `high`: of each axis only the indices that reach there are visited. */
function copy(task: Copy, level: number, from: number, to: number): void {
  const { axes, low, high } = task;
  const axis = axes[level]!;
  let start = 0;
  let end = axis.size;
  if (axis.from > 0) {
    start = Math.max(0, Math.ceil((low - from - axis.span + 1) / axis.from));
    end = Math.min(axis.size, Math.floor((high - 1 - from) / axis.from) + 1);
  }
  if (start >= end) return;
  if (level < axes.length - 1) {
    for (let i = start; i < end; i++) copy(task, level + 1, from + i * axis.from, to + i * axis.to);
    return;
  }
  copyRun(task, axis, from + start * axis.from - low, to + start * axis.to, end - start);
}

function copyRun({ source, target }: Copy, axis: Axis, from: number, to: number, count: number): void {
  if (axis.from === 1 && axis.to === 1) {
    target.set(source.subarray(from, from + count), to);
    return;
  }
  for (let i = 0, s = from, t = to; i < count; i++, s += axis.from, t += axis.to) target[t] = source[s]!;
}

/** A view in lanes. Bytes to read from are copied if they lie askew; bytes to write to must not. */
function lanes(bytes: Uint8Array, lane: Lane, expected: number, what: 'bytes' | 'out'): Lanes {
  if (bytes.byteLength !== expected) {
    throw new OptionError({ option: what, expected: `${expected} bytes`, found: bytes.byteLength });
  }
  let aligned = bytes;
  if (bytes.byteOffset % lane !== 0) {
    if (what === 'out') {
      throw new OptionError({ option: what, expected: `a multiple of ${lane} as byteOffset`, found: bytes.byteOffset });
    }
    aligned = new Uint8Array(bytes);
  }
  const { buffer, byteOffset, byteLength } = aligned;
  if (lane === 1) return aligned;
  if (lane === 2) return new Uint16Array(buffer, byteOffset, byteLength / 2);
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}

function asRows({ shape, strides }: StridedTensor): Pick<StridedTensor, 'shape' | 'strides'> {
  return shape.length > 1 ? { shape, strides } : { shape: [...shape, 1], strides: [...strides, 0] };
}

function rowCount(tensor: StridedTensor): number {
  return tensor.elementCount / asRows(tensor).shape.at(-1)!;
}

function rangeBytes(tensor: StridedTensor, { start, end }: RowRange): number {
  return (end - start) * (tensor.byteLength / rowCount(tensor));
}

function checkRows(tensor: StridedTensor, { start, end }: RowRange): void {
  const rows = rowCount(tensor);
  const valid = Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end <= rows;
  if (!valid)
    throw new OptionError({ option: 'rows', expected: `a range within 0 to ${rows}`, found: `${start}–${end}` });
}
