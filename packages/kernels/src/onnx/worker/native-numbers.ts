import { addressOf, type DType } from '@airllm/loader';
import { GraphError } from '../../errors';
import type { Graph } from '../../graph/graph';
import type { WeightId } from '../../graph/ops';
import { type Address, type NativeLibrary, openLibrary } from '../../native/library';
import { findLibrary } from '../../native/platform';
import { serialiseGraph } from '../../native/serialise';
import type { ComponentName } from '../../packed/format';
import { remember } from '../../remember';
import { fitsHalf } from './half';
import { countOf, type NumberReader, ScriptNumbers, type Stored } from './numbers';
import type { PackedMatrix } from './packed-matrix';

/** `airllm_dtype` of native/airllm.h. */
const DTYPES: Readonly<Partial<Record<DType, number>>> = { F32: 0, F16: 1, BF16: 2 };

/** By the native library, which is there for other executors; without it in JavaScript. */
export function openNumbers(): NumberReader {
  try {
    return new NativeNumbers(openLibrary(findLibrary()));
  } catch {
    return new ScriptNumbers();
  }
}

export class NativeNumbers implements NumberReader {
  readonly name = 'native';
  readonly #library: NativeLibrary;
  readonly #isa: string | null;
  readonly #largest = new Float32Array(1);
  /** Weights of a graph, as the library knows them. */
  readonly #programs = new Map<Graph, Address>();

  /** `isa`: one that the library has here; null is the best. */
  constructor(library: NativeLibrary, isa: string | null = null) {
    this.#library = library;
    this.#isa = isa;
  }

  floats(stored: Stored, memory: ArrayBuffer): Float32Array<ArrayBuffer> {
    const values = new Float32Array(memory, 0, countOf(stored));
    this.#read(stored, DTYPES.F32!, values);
    return values;
  }

  halves(stored: Stored, memory: ArrayBuffer): Uint16Array<ArrayBuffer> | undefined {
    const halves = new Uint16Array(memory, 0, countOf(stored));
    return fitsHalf(this.#read(stored, DTYPES.F16!, halves)) ? halves : undefined;
  }

  close(): void {
    for (const program of this.#programs.values()) this.#library.programDestroy(program);
    this.#programs.clear();
  }

  /** The largest magnitude. */
  #read(stored: Stored, to: number, into: ArrayBufferView): number {
    if (into.byteLength === 0) return 0;
    if ('dtype' in stored) this.#convert(stored, to, into);
    else this.#unpack(stored, to, into);
    return this.#largest[0]!;
  }

  #convert({ dtype, bytes, count }: Extract<Stored, { dtype: DType }>, to: number, into: ArrayBufferView): void {
    const from = DTYPES[dtype];
    if (from === undefined) throw new GraphError('weights', `numbers of dtype ${dtype} are not converted`);
    this.#library.check('convert', this.#library.convert(this.#isa, from, to, count, bytes, into, this.#largest));
  }

  #unpack({ matrix, from, rows }: Extract<Stored, { rows: number }>, to: number, into: ArrayBufferView): void {
    const { graph, weight, source } = matrix;
    const program = remember(this.#programs, graph, () => this.#create(graph));
    const given = [program, addresses(matrix), weight, source.firstRow, from, rows] as const;
    this.#library.check('unpack', this.#library.unpack(this.#isa, ...given, to, into, this.#largest));
  }

  #create(graph: Graph): Address {
    const nothing = { ops: [], values: [], states: [], ropes: [], inputs: new Map(), outputs: new Map() };
    const bytes = serialiseGraph({ ...graph, ...nothing }, { columns: [], totalColumns: 0, experts: new Map() });
    const handle = new BigUint64Array(1);
    this.#library.check('compile', this.#library.programCreate(bytes, bytes.byteLength, handle));
    return handle[0]!;
  }
}

/** Where a matrix's parts lie, by their index in the graph. */
function addresses({ graph, weight, source }: PackedMatrix): BigUint64Array {
  const places = new BigUint64Array(graph.weights.length);
  const ids: Partial<Record<ComponentName, WeightId>> = { codes: weight, ...graph.weights[weight]!.packed!.components };
  for (const [name, id] of Object.entries(ids)) places[id] = addressOf(source.bytes[name as ComponentName]!);
  return places;
}
