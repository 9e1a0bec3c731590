import type { LibraryHandle } from 'koffi';
import { LibraryError } from './errors';
import { requireHere } from './here';

/**
 * The only way to native code. koffi's own JavaScript merely looks for its binary (and needs `import.meta.dirname`,
 * which early Node 20 lacks), so the platform package is loaded directly: it exports the whole API. It is found
 * lazily: importing this package runs nothing.
 */
type Koffi = Pick<typeof import('koffi'), 'load' | 'view' | 'address' | 'errno' | 'os' | 'version'>;

let loaded: Koffi | LibraryError | undefined;

function koffi(): Koffi {
  loaded ??= load();
  if (LibraryError.isInstance(loaded)) throw loaded;
  return loaded;
}

function load(): Koffi | LibraryError {
  const name = `@koromix/koffi-${process.platform}-${process.arch}`;
  try {
    return requireHere()(name) as Koffi;
  } catch (cause) {
    return new LibraryError({
      library: name,
      reason:
        'the foreign function interface is not installed; install optional dependencies for this platform, ' +
        'and keep @airllm/* out of bundles (esbuild: --external:@airllm/*)',
      cause,
    });
  }
}

/** Whether native memory and libraries can be used in this process. */
export function foreignAvailable(): boolean {
  try {
    koffi();
    return true;
  } catch {
    return false;
  }
}

/**
 * Types of arguments and results. Addresses are `uintptr_t` (a number or bigint); `void *` takes a typed array, whose
 * memory is borrowed for the call. Only anonymous types: named ones clash when ESM and CJS copies meet.
 */
export type ForeignType =
  | 'void'
  | 'bool'
  | 'int'
  | 'int8_t'
  | 'uint8_t'
  | 'int16_t'
  | 'uint16_t'
  | 'int32_t'
  | 'uint32_t'
  | 'int64_t'
  | 'uint64_t'
  | 'size_t'
  | 'uintptr_t'
  | 'float'
  | 'double'
  | 'str'
  | 'void *';

/** A C function. 64-bit results are numbers while these are exact, else bigints. */
export interface ForeignFunction<Arguments extends unknown[], Result> {
  (...args: Arguments): Result;
  /**
   * The same call on a thread of libuv's pool (four by default, shared with the host's fs and dns): for calls that
   * only wait for threads of their own. The stack there is 128 KiB; more than 256 calls at once fail.
   */
  async(...args: Arguments): Promise<Result>;
}

/** A loaded shared library. */
export interface ForeignLibrary {
  readonly path: string;
  /** Throws `LibraryError` if the library has no such function. A last argument `'...'` makes it variadic. */
  function<Arguments extends unknown[], Result>(
    name: string,
    result: ForeignType,
    args: readonly (ForeignType | '...')[],
  ): ForeignFunction<Arguments, Result>;
  /** Unloads the library; no call may be running or follow. */
  close(): void;
}

/**
 * Loads a shared library; `null` is the process itself (libc on Linux and macOS).
 * Throws `LibraryError` if it, or the foreign function interface, is not there.
 */
export function loadLibrary(path: string | null): ForeignLibrary {
  const shown = path ?? 'this process';
  let handle: LibraryHandle;
  try {
    handle = koffi().load(path);
  } catch (cause) {
    if (LibraryError.isInstance(cause)) throw cause;
    throw new LibraryError({ library: shown, reason: (cause as Error).message, cause });
  }
  return {
    path: shown,
    function(name, result, args) {
      try {
        return foreignFunction(handle.func(name, result, [...args]));
      } catch (cause) {
        throw new LibraryError({ library: shown, reason: `function ${name}: ${(cause as Error).message}`, cause });
      }
    },
    close: () => handle.unload(),
  };
}

function foreignFunction<Arguments extends unknown[], Result>(
  native: ReturnType<LibraryHandle['func']>,
): ForeignFunction<Arguments, Result> {
  const call = (...args: Arguments): Result => native(...args) as Result;
  return Object.assign(call, {
    async: (...args: Arguments) =>
      new Promise<Result>((resolve, reject) => {
        native.async(...args, (error: unknown, result: Result) => (error ? reject(error) : resolve(result)));
      }),
  });
}

/** The C library's error number after a call on this thread, by name where known (`EIO`), else `errno 117`. */
export function foreignErrno(): string {
  const number = koffi().errno();
  return Object.entries(koffi().os.errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
}

/** Where the first byte of a view lies. Valid while the view's memory lives and does not move. */
export function addressOf(view: ArrayBufferView): bigint {
  return BigInt(koffi().address(view));
}

/** `koffi.view` above 4 GiB aborts the process; callers cut at 1 GiB to stay far away. */
export const MAX_VIEW_BYTES = 2 ** 30;

/** Memory at an address as an ArrayBuffer, uncopied and unowned: using it after the memory is gone is undefined. */
export function viewMemory(address: bigint, byteLength: number): ArrayBuffer {
  if (byteLength > MAX_VIEW_BYTES) {
    throw new RangeError(`viewMemory: at most ${MAX_VIEW_BYTES} bytes in one view, asked for ${byteLength}`);
  }
  return byteLength === 0 ? new ArrayBuffer(0) : koffi().view(address, byteLength);
}
