import { type ForeignFunction, type ForeignLibrary, foreignAvailable, loadLibrary } from '@airllm/loader';
import { ExecutorUnavailableError } from '../errors';
import { NativeError } from './errors';

/** `AIRLLM_ABI_VERSION` of native/airllm.h that this code was written for. */
const ABI_VERSION = 7;

/** `AIRLLM_PLACES`: submissions that a context holds at a time. */
export const PLACES = 4;

/** An address in native memory. */
export type Address = number | bigint;

/** The functions of native/airllm.h. Pointers to structs are addresses; results come back through typed arrays. */
export interface NativeLibrary {
  readonly path: string;
  readonly isa: ForeignFunction<[index: number], string | null>;
  readonly isaHasBf16: ForeignFunction<[isa: string | null], number>;
  readonly contextCreate: ForeignFunction<
    [isa: string | null, threads: number, compute: number, context: BigUint64Array],
    number
  >;
  readonly contextDestroy: ForeignFunction<[context: Address], void>;
  readonly programCreate: ForeignFunction<[bytes: Uint8Array, length: number, program: BigUint64Array], number>;
  readonly programDestroy: ForeignFunction<[program: Address], void>;
  readonly submit: ForeignFunction<[context: Address, steps: Address, count: number, place: number], number>;
  readonly wait: ForeignFunction<[context: Address, place: number], number>;
  /** Dtypes are those of `airllm_dtype`. */
  readonly convert: ForeignFunction<
    [
      isa: string | null,
      from: number,
      to: number,
      count: number,
      numbers: ArrayBufferView,
      converted: ArrayBufferView,
      largest: Float32Array,
    ],
    number
  >;
  readonly unpack: ForeignFunction<
    [
      isa: string | null,
      program: Address,
      weights: BigUint64Array,
      weight: number,
      first: number,
      from: number,
      rows: number,
      to: number,
      numbers: ArrayBufferView,
      largest: Float32Array,
    ],
    number
  >;
  /** Throws {@link NativeError} for any status but 0. */
  check(call: string, status: number): void;
}

/** Loads the library. Throws {@link ExecutorUnavailableError} if it cannot be loaded or is of another version. */
export function openLibrary(path: string): NativeLibrary {
  if (!foreignAvailable()) unavailable('the foreign function interface (koffi) is not installed for this platform');
  let library: ForeignLibrary;
  try {
    library = loadLibrary(path);
    // It stays loaded for the life of the process: unloading would gain nothing.
    checkVersion(path, library.function<[], number>('airllm_abi_version', 'uint32_t', [])());
  } catch (cause) {
    if (ExecutorUnavailableError.isInstance(cause)) throw cause;
    return unavailable((cause as Error).message, cause);
  }
  const statusText = library.function<[number], string>('airllm_status_text', 'str', ['int32_t']);
  return {
    path,
    isa: library.function('airllm_isa', 'str', ['uint32_t']),
    isaHasBf16: library.function('airllm_isa_has_bf16', 'uint32_t', ['str']),
    contextCreate: library.function('airllm_context_create', 'int32_t', ['str', 'uint32_t', 'uint32_t', 'void *']),
    contextDestroy: library.function('airllm_context_destroy', 'void', ['uintptr_t']),
    programCreate: library.function('airllm_program_create', 'int32_t', ['void *', 'uint64_t', 'void *']),
    programDestroy: library.function('airllm_program_destroy', 'void', ['uintptr_t']),
    submit: library.function('airllm_submit', 'int32_t', ['uintptr_t', 'uintptr_t', 'uint32_t', 'uint32_t']),
    wait: library.function('airllm_wait', 'int32_t', ['uintptr_t', 'uint32_t']),
    convert: library.function('airllm_convert', 'int32_t', [
      ...(['str', 'uint32_t', 'uint32_t', 'uint64_t'] as const),
      ...(['void *', 'void *', 'void *'] as const),
    ]),
    unpack: library.function('airllm_unpack', 'int32_t', [
      ...(['str', 'uintptr_t', 'void *', 'uint32_t', 'uint32_t', 'uint32_t', 'uint32_t'] as const),
      ...(['uint32_t', 'void *', 'void *'] as const),
    ]),
    check(call, status) {
      if (status !== 0) throw new NativeError({ call, status, reason: statusText(status) });
    },
  };
}

/** Instruction sets that the library has and this CPU runs, best first. */
export function instructionSets(library: NativeLibrary): string[] {
  const names: string[] = [];
  for (let name = library.isa(0); name !== null; name = library.isa(names.length)) names.push(name);
  return names;
}

function checkVersion(path: string, found: number): void {
  if (found === ABI_VERSION) return;
  unavailable(
    `${path} has ABI version ${found}, expected ${ABI_VERSION}; ` +
      'install @airllm/kernels and its platform package in the same version, or build the library anew',
  );
}

function unavailable(reason: string, cause?: unknown): never {
  throw new ExecutorUnavailableError({ executor: 'native', reason, cause });
}
