import {
  type ComponentName,
  componentShape,
  componentsOf,
  constantPlaces,
  constantsTensor,
  GraphError,
  type PackedFormat,
  PackedTensor,
} from '@airllm/kernels';
import { FormatError, type MetaTensor } from '@airllm/loader';
import { parseFormat } from './parse-format';

/** Key in a layer file's `__metadata__` that tells which of its tensors are parts of packed matrices. */
export const FORMATS_KEY = 'airllm.formats';
const VERSION = 1;
/** More than a layer of any model: one name per matrix. */
const MAX_MATRICES = 100_000;

const SUFFIXES: Readonly<Record<Exclude<ComponentName, 'constants'>, string>> = {
  codes: '',
  scales: '.scales',
  supers: '.supers',
  zeros: '.zeros',
  offsets: '.offsets',
  offsetSupers: '.offset_supers',
  columns: '.columns',
};

/** What a component of a packed matrix is called in a file: the codes have the matrix's own name. */
export function componentTensorName(matrix: string, component: Exclude<ComponentName, 'constants'>): string {
  return matrix + SUFFIXES[component];
}

/** A packed matrix of a layer file: all that its stored components do not tell themselves. */
export interface StoredMatrix {
  readonly name: string;
  readonly shape: readonly number[];
  readonly format: PackedFormat;
  readonly constants?: Float32Array | undefined;
}

interface Described {
  readonly version: number;
  /** Little-endian float32, base64. */
  readonly tables: readonly string[];
  readonly tensors: Readonly<Record<string, { shape: readonly number[]; format: PackedFormat; constants?: number[] }>>;
}

/** `__metadata__` for a file with these matrices; empty if there are none. Tables that several share are there once. */
export function encodeFormats(matrices: readonly StoredMatrix[]): Record<string, string> {
  if (matrices.length === 0) return {};
  const tables = new Map<string, number>();
  const numberOf = (table: Float32Array) => {
    const text = Buffer.from(table.buffer, table.byteOffset, table.byteLength).toString('base64');
    if (!tables.has(text)) tables.set(text, tables.size);
    return tables.get(text)!;
  };
  const tensors = matrices.map(({ name, shape, format, constants }) => {
    const parts =
      constants === undefined ? [] : cuts(format).map(([from, to]) => numberOf(constants.subarray(from, to)));
    return [name, { shape, format, ...(parts.length > 0 && { constants: parts }) }] as const;
  });
  const described: Described = { version: VERSION, tables: [...tables.keys()], tensors: Object.fromEntries(tensors) };
  return { [FORMATS_KEY]: JSON.stringify(described) };
}

/** Bias, 16 numbers, 256 numbers: each is a table of its own, since most tensors share all but the bias. */
function cuts(format: PackedFormat): [from: number, to: number][] {
  const { bias, table4, table8, count } = constantPlaces(format);
  const begins = [bias, table4, table8].filter((begin) => begin !== undefined);
  return begins.map((from, i) => [from, begins[i + 1] ?? count]);
}

/** The packed matrices of a file, by its metadata; none for files of other writers. Throws `FormatError`. */
export function decodeFormats(file: string, metadata: ReadonlyMap<string, string>): StoredMatrix[] {
  const text = metadata.get(FORMATS_KEY);
  if (text === undefined) return [];
  const fail = (reason: string, tensor?: string): never => {
    throw new FormatError({ file, tensor, reason: `${FORMATS_KEY}: ${reason}` });
  };
  let described: Described;
  try {
    described = JSON.parse(text) as Described;
  } catch (cause) {
    throw new FormatError({ file, reason: `${FORMATS_KEY}: not JSON`, cause });
  }
  if (described?.version !== VERSION)
    fail(`version ${described?.version}, expected ${VERSION}; it was written by another release`);
  const { tables, tensors } = described;
  if (!Array.isArray(tables) || typeof tensors !== 'object' || tensors === null) fail('tables and tensors expected');
  const entries = Object.entries(tensors);
  if (entries.length > MAX_MATRICES) fail(`${entries.length} matrices; at most ${MAX_MATRICES} are accepted`);
  const decoded = tables.map(decodeTable);
  return entries.map(([name, entry]): StoredMatrix => {
    const format = parseFormat(entry?.format, (reason) => fail(reason, name));
    const { shape } = entry;
    if (!Array.isArray(shape) || shape.length !== 2 || !shape.every((size) => Number.isSafeInteger(size) && size > 0))
      fail(`a shape of two numbers expected, found ${JSON.stringify(shape)}`, name);
    const constants = joinTables(entry.constants ?? [], decoded, constantPlaces(format).count);
    if (constants === null) fail('its constants are not those of its format', name);
    return { name, shape, format, ...(constants!.length > 0 && { constants: constants! }) };
  });
}

function decodeTable(text: unknown): Float32Array {
  const bytes = typeof text === 'string' && text.length < 4096 ? Buffer.from(text, 'base64') : Buffer.alloc(0);
  return new Float32Array(new Uint8Array(bytes.subarray(0, bytes.length - (bytes.length % 4))).buffer);
}

function joinTables(indices: unknown, tables: readonly Float32Array[], count: number): Float32Array | null {
  if (!Array.isArray(indices) || indices.length > 3) return null;
  const parts = indices.map((index) => tables[index as number]);
  if (parts.some((part) => part === undefined)) return null;
  const joined = Float32Array.from((parts as Float32Array[]).flatMap((part) => [...part]));
  return joined.length === count ? joined : null;
}

/**
 * Puts a file's components together again; `tensors` are those of the whole checkpoint, so that the components of a
 * matrix are found by name. Throws `FormatError` where one is missing or does not fit.
 */
export function packedOf(file: string, matrix: StoredMatrix, tensors: ReadonlyMap<string, MetaTensor>): PackedTensor {
  const { name, shape, format } = matrix;
  try {
    const components = componentsOf(format).map((component) => [component, partOf(file, matrix, component, tensors)]);
    return new PackedTensor({ name, shape, format, components: Object.fromEntries(components) });
  } catch (cause) {
    if (!GraphError.isInstance(cause)) throw cause;
    throw new FormatError({ file, tensor: name, reason: cause.message, cause });
  }
}

function partOf(
  file: string,
  { name, shape, format, constants }: StoredMatrix,
  component: ComponentName,
  tensors: ReadonlyMap<string, MetaTensor>,
): MetaTensor {
  if (component === 'constants') return constantsTensor(`${name}.constants`, constants!);
  const stored = tensors.get(componentTensorName(name, component));
  if (stored === undefined) {
    throw new FormatError({ file, tensor: name, reason: `its ${component} are missing; split the model again` });
  }
  return viewedAs(file, stored, format, shape, component);
}

/** Its own shape, or an error: a reader of rows counts on it. */
function viewedAs(
  file: string,
  stored: MetaTensor,
  format: PackedFormat,
  shape: readonly number[],
  component: ComponentName,
): MetaTensor {
  const expected = componentShape(format, shape, component);
  if (expected.join() === stored.shape.join()) return stored;
  const found = stored.shape.join(', ');
  throw new FormatError({ file, tensor: stored.name, reason: `shape [${found}], expected [${expected.join(', ')}]` });
}
