import type { DType } from '../dtype';
import { isDType, tensorBytes } from '../dtype';
import { OptionError } from '../errors';
import { alignUp } from '../extent';
import { PADDING_PREFIX } from './padding';
import { MAX_HEADER_BYTES } from './parse-header';

/** A tensor to be written: everything but its bytes. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Where a tensor's bytes go. */
export interface PlacedTensor extends TensorSpec {
  /** From the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** The start of a safetensors file, and where everything behind it goes. */
export interface HeaderLayout {
  /** Length field and header: what the file starts with. */
  readonly bytes: Uint8Array;
  /** In the order of the specs, paddings left out. */
  readonly tensors: readonly PlacedTensor[];
  readonly fileBytes: number;
}

/** How {@link layoutHeader} places tensors. */
export interface LayoutOptions {
  /** `__metadata__`, strings only. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Multiple at which the data starts, filled up with spaces in the header: default 4096, for direct I/O. */
  readonly alignData?: number | undefined;
  /** Multiple, from the start of the data, at which every tensor starts: default 64, a cache line; 1 for none. */
  readonly alignTensors?: number | undefined;
}

/** Lays out a file: tensors in the order given, one after the other. Throws `OptionError`. */
export function layoutHeader(specs: readonly TensorSpec[], options: LayoutOptions = {}): HeaderLayout {
  const alignData = alignment('alignData', options.alignData ?? 4096);
  const alignTensors = alignment('alignTensors', options.alignTensors ?? 64);
  // Entries, not an object: a tensor named __proto__ or 1 must stay where it is.
  const entries: string[] = [];
  if (options.metadata !== undefined) entries.push(`"__metadata__":${JSON.stringify(checked(options.metadata))}`);
  const names = new Set<string>(['__metadata__']);
  const placed: { spec: TensorSpec; begin: number; byteLength: number }[] = [];
  let end = 0;
  const place = (spec: TensorSpec, byteLength: number) => {
    entries.push(entry(spec, end, end + byteLength));
    end += byteLength;
  };
  for (const spec of specs) {
    const byteLength = checkSpec(spec, names);
    const gap = byteLength === 0 ? 0 : alignUp(end, alignTensors) - end;
    if (gap > 0) place({ name: `${PADDING_PREFIX}${end}`, dtype: 'U8', shape: [gap] }, gap);
    placed.push({ spec, begin: end, byteLength });
    place(spec, byteLength);
  }
  const bytes = headerBytes(`{${entries.join(',')}}`, alignData);
  const tensors = placed.map(({ spec, begin, byteLength }) => {
    const { name, dtype, shape } = spec;
    return { name, dtype, shape: [...shape], offset: bytes.byteLength + begin, byteLength };
  });
  return { bytes, tensors, fileBytes: bytes.byteLength + end };
}

function entry({ name, dtype, shape }: TensorSpec, begin: number, end: number): string {
  return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],"data_offsets":[${begin},${end}]}`;
}

function headerBytes(json: string, alignData: number): Uint8Array {
  const text = new TextEncoder().encode(json);
  // At least 8, as other writers do.
  const total = alignUp(8 + text.byteLength, alignData);
  if (total - 8 > MAX_HEADER_BYTES) {
    throw new OptionError({
      option: 'tensors',
      expected: `a header of at most ${MAX_HEADER_BYTES} bytes`,
      found: total,
    });
  }
  const bytes = new Uint8Array(total).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(total - 8), true);
  bytes.set(text, 8);
  return bytes;
}

function checkSpec(spec: TensorSpec, names: Set<string>): number {
  const { name, dtype, shape } = spec;
  if (names.has(name)) throw new OptionError({ option: 'tensors', expected: 'names used once', found: name });
  if (name.startsWith(PADDING_PREFIX)) {
    throw new OptionError({ option: 'tensors', expected: `names other than ${PADDING_PREFIX}*`, found: name });
  }
  // JSON.stringify would write a lone surrogate as an escape that readers refuse.
  if (/\p{Surrogate}/u.test(name)) {
    throw new OptionError({ option: 'tensors', expected: 'well-formed names', found: name });
  }
  names.add(name);
  if (!isDType(dtype)) throw new OptionError({ option: 'dtype', expected: 'a dtype of safetensors', found: dtype });
  return tensorBytes(dtype, shape);
}

function alignment(option: string, value: number): number {
  if (!Number.isInteger(value) || value < 1 || value > 2 ** 20) {
    throw new OptionError({ option, expected: 'a whole number from 1 to 2^20', found: value });
  }
  return option === 'alignData' ? Math.max(value, 8) : value;
}

function checked(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string')
      throw new OptionError({ option: `metadata.${key}`, expected: 'a string', found: value });
  }
  return metadata;
}
