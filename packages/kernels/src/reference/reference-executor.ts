import { DisposedError } from '@airllm/loader';
import type { Executor, ExecutorInfo, Program } from '../executor';
import type { Graph } from '../graph/graph';
import { checkDtypes } from './frame';
import { ReferenceProgram } from './reference-program';

/**
 * Runs graphs in plain TypeScript: what the other executors are tested against, and the fallback without a native
 * library. Sums are float64, values are rounded once, and a row's bytes never depend on the pass it rides in.
 */
export class ReferenceExecutor implements Executor {
  readonly info: ExecutorInfo = { name: 'reference', isa: 'js', threads: 1 };
  readonly #programs = new Map<string, Program>();
  #disposed = false;

  compile(graph: Graph): Program {
    if (this.#disposed) throw new DisposedError('ReferenceExecutor');
    let program = this.#programs.get(graph.key);
    if (program === undefined) {
      checkDtypes(graph);
      program = new ReferenceProgram(graph);
      this.#programs.set(graph.key, program);
    }
    return program;
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#programs.clear();
  }
}
