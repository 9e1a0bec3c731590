import { DisposedError } from '@airllm/loader';
import type { ComputeDType, Executor, ExecutorInfo, Program } from '../executor';
import type { Graph } from '../graph/graph';
import { checkDtypes } from './frame';
import { ReferenceProgram } from './reference-program';

export interface ReferenceOptions {
  /** `auto` is float32: nothing is gained here by less. @defaultValue 'float32' */
  readonly computeDtype?: 'auto' | ComputeDType | undefined;
}

/**
 * Runs graphs in plain TypeScript: what the other executors are tested against, and the fallback without a native
 * library. Sums are float64, values are rounded once, and a row's bytes never depend on the pass it rides in.
 */
export class ReferenceExecutor implements Executor {
  readonly info: ExecutorInfo;
  readonly #programs = new Map<string, Program>();
  #disposed = false;

  constructor({ computeDtype = 'float32' }: ReferenceOptions = {}) {
    const computes = computeDtype === 'bfloat16' ? computeDtype : 'float32';
    this.info = { name: 'reference', isa: 'js', threads: 1, computeDtype: computes };
  }

  compile(graph: Graph): Program {
    if (this.#disposed) throw new DisposedError('ReferenceExecutor');
    let program = this.#programs.get(graph.key);
    if (program === undefined) {
      checkDtypes(graph);
      program = new ReferenceProgram(graph, this.info.computeDtype);
      this.#programs.set(graph.key, program);
    }
    return program;
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#programs.clear();
  }
}
