import { OptionError } from '@airllm/loader';
import { ExecutorUnavailableError } from './errors';
import type { ComputeDType, Executor, ExecutorName } from './executor';
import { NativeExecutor } from './native/native-executor';
import { ReferenceExecutor } from './reference/reference-executor';

export interface ExecutorOptions {
  /** `auto`: native where its library is found, else reference with a warning. @defaultValue 'auto' */
  readonly executor?: 'auto' | ExecutorName | undefined;
  /** Threads of the native executor. @defaultValue what the machine has */
  readonly threads?: number | undefined;
  /**
   * `bfloat16`: bf16 matrices are multiplied with activations rounded to bf16, everywhere, but faster only where the
   * CPU has an instruction for it; bytes differ between instruction sets. `auto`: bfloat16 where the CPU has it
   * (AVX-512 BF16, AMX), else float32. @defaultValue 'float32'
   */
  readonly computeDtype?: 'auto' | ComputeDType | undefined;
  /** Takes the one line that says why a slower executor was chosen. @defaultValue console.warn */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** How each executor is opened; a new one has its place here. */
export type Openers = Readonly<Record<ExecutorName, (options: ExecutorOptions) => Executor>>;

const OPENERS: Openers = {
  native: ({ threads, computeDtype }) => NativeExecutor.open({ threads, computeDtype }),
  reference: ({ computeDtype }) => new ReferenceExecutor({ computeDtype }),
};

const COMPUTE_DTYPES: readonly unknown[] = ['float32', 'bfloat16', 'auto'] satisfies ExecutorOptions['computeDtype'][];

/** Opens the executor that runs graphs. Throws {@link ExecutorUnavailableError} where the named one cannot run here. */
export async function createExecutor(options: ExecutorOptions = {}): Promise<Executor> {
  return chooseExecutor(options, OPENERS);
}

export function chooseExecutor(options: ExecutorOptions, openers: Openers): Executor {
  const { computeDtype = 'float32' } = options;
  if (!COMPUTE_DTYPES.includes(computeDtype)) {
    const expected = `one of ${COMPUTE_DTYPES.join(', ')}`;
    throw new OptionError({ option: 'computeDtype', expected, found: computeDtype });
  }
  const name = options.executor ?? 'auto';
  if (name !== 'auto') {
    const open = Object.hasOwn(openers, name) ? openers[name] : undefined;
    if (open !== undefined) return open(options);
    const expected = ['auto', ...Object.keys(openers)].join(', ');
    throw new OptionError({ option: 'executor', expected: `one of ${expected}`, found: name });
  }
  try {
    return openers.native(options);
  } catch (error) {
    if (!ExecutorUnavailableError.isInstance(error)) throw error;
    const warn = options.onWarning ?? console.warn;
    warn(`airllm: using the slow reference executor, because native is not available: ${error.reason}`);
    return openers.reference(options);
  }
}
