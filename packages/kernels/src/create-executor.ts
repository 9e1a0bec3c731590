import { ExecutorUnavailableError } from './errors';
import type { Executor } from './executor';
import { NativeExecutor } from './native/native-executor';
import { ReferenceExecutor } from './reference/reference-executor';

export interface ExecutorOptions {
  /** `auto`: native where its library is found, else reference with a warning. @defaultValue 'auto' */
  readonly executor?: 'auto' | 'native' | 'reference';
  /** Threads of the native executor. @defaultValue what the machine has */
  readonly threads?: number;
  /** Takes the one line that says why a slower executor was chosen. @defaultValue console.warn */
  readonly onWarning?: (message: string) => void;
}

/** Opens the executor that runs graphs. Throws {@link ExecutorUnavailableError} where the named one cannot run here. */
export async function createExecutor(options: ExecutorOptions = {}): Promise<Executor> {
  switch (options.executor ?? 'auto') {
    case 'reference':
      return new ReferenceExecutor();
    case 'native':
      return NativeExecutor.open({ threads: options.threads });
    case 'auto':
      try {
        return NativeExecutor.open({ threads: options.threads });
      } catch (error) {
        if (!ExecutorUnavailableError.isInstance(error)) throw error;
        const warn = options.onWarning ?? console.warn;
        warn(`airllm: using the slow reference executor, because native is not available: ${error.reason}`);
        return new ReferenceExecutor();
      }
  }
}
