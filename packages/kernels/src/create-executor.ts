import { OptionError } from '@airllm/loader';
import { ExecutorUnavailableError } from './errors';
import type { ComputeDType, Executor, ExecutorName } from './executor';
import { NativeExecutor } from './native/native-executor';
import { OnnxExecutor } from './onnx/onnx-executor';
import type { Provider } from './onnx/providers';
import { ReferenceExecutor } from './reference/reference-executor';

/** Which executor {@link createExecutor} opens, and how it computes. */
export interface ExecutorOptions {
  /**
   * `auto`: native where its library is found, else onnx on the CPU where onnxruntime-node is installed, else reference;
   * each but the first with a warning. @defaultValue 'auto'
   */
  readonly executor?: 'auto' | ExecutorName | undefined;
  /** Threads that compute on the CPU. @defaultValue what the machine has */
  readonly threads?: number | undefined;
  /**
   * Of the onnx executor: what of onnxruntime computes. `webgpu`: any GPU, with everything there. `cuda`, `dml`,
   * `coreml`: with weights that stay there, the rest on the CPU. @defaultValue 'cpu'
   */
  readonly provider?: Provider | undefined;
  /** Of the onnx executor: most bytes that weights and states may take on its device. @defaultValue no limit */
  readonly deviceMemory?: number | undefined;
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
export type Openers = Readonly<Record<ExecutorName, (options: ExecutorOptions) => Executor | Promise<Executor>>>;

const OPENERS: Openers = {
  native: ({ threads, computeDtype }) => NativeExecutor.open({ threads, computeDtype }),
  onnx: openOnnx,
  reference: ({ computeDtype }) => new ReferenceExecutor({ computeDtype }),
};

const COMPUTE_DTYPES: readonly unknown[] = ['float32', 'bfloat16', 'auto'] satisfies ExecutorOptions['computeDtype'][];

/** Opens the executor that runs graphs. Throws {@link ExecutorUnavailableError} where the named one cannot run here. */
export async function createExecutor(options: ExecutorOptions = {}): Promise<Executor> {
  return chooseExecutor(options, OPENERS);
}

export async function chooseExecutor(options: ExecutorOptions, openers: Openers): Promise<Executor> {
  const { computeDtype = 'float32' } = options;
  if (!COMPUTE_DTYPES.includes(computeDtype)) {
    const expected = `one of ${COMPUTE_DTYPES.join(', ')}`;
    throw new OptionError({ option: 'computeDtype', expected, found: computeDtype });
  }
  const name = options.executor ?? 'auto';
  if (name === 'auto') return firstAvailable(options, openers);
  const open = Object.hasOwn(openers, name) ? openers[name] : undefined;
  if (open !== undefined) return open(options);
  const expected = ['auto', ...Object.keys(openers)].join(', ');
  throw new OptionError({ option: 'executor', expected: `one of ${expected}`, found: name });
}

/** The fastest executor that runs here; the others' reasons go into one line. */
async function firstAvailable(options: ExecutorOptions, openers: Openers): Promise<Executor> {
  const reasons: string[] = [];
  const warn = (using: string) => {
    const report = options.onWarning ?? console.warn;
    report(`airllm: using ${using}, because ${reasons.join('; ')}`);
  };
  const found =
    (await opened('native', options, openers, reasons)) ??
    (await opened('onnx', { ...options, provider: 'cpu' }, openers, reasons));
  if (found?.info.name === 'onnx') warn('onnxruntime on the CPU');
  if (found !== undefined) return found;
  warn('the slow reference executor');
  return openers.reference(options);
}

async function opened(
  name: 'native' | 'onnx',
  options: ExecutorOptions,
  openers: Openers,
  reasons: string[],
): Promise<Executor | undefined> {
  try {
    return await openers[name](options);
  } catch (error) {
    if (!ExecutorUnavailableError.isInstance(error)) throw error;
    reasons.push(`${name} is not available: ${error.reason}`);
    return undefined;
  }
}

function openOnnx({ provider, threads, deviceMemory, computeDtype }: ExecutorOptions): Promise<Executor> {
  if (computeDtype === 'bfloat16') {
    const reason = 'it computes in float32 and has no bfloat16';
    throw new ExecutorUnavailableError({ executor: 'onnx', reason });
  }
  return OnnxExecutor.open({ provider, threads, deviceMemory });
}
