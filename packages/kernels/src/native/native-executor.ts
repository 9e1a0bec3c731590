import { availableParallelism } from 'node:os';
import { DisposedError, OptionError } from '@airllm/loader';
import { ExecutorUnavailableError } from '../errors';
import type { ComputeDType, Executor, ExecutorInfo, Program } from '../executor';
import type { Graph } from '../graph/graph';
import { CallFrame, type NativeCall } from './call-frame';
import { type Address, instructionSets, type NativeLibrary, openLibrary } from './library';
import { NativeProgram } from './native-program';
import { findLibrary } from './platform';
import { RopeTables } from './rope-tables';

export interface NativeOptions {
  /** Threads that compute. @defaultValue what the machine has */
  readonly threads?: number | undefined;
  /** Instruction set, one of those the CPU runs. @defaultValue the best */
  readonly isa?: string | undefined;
  /** `auto`: bfloat16 where the instruction set multiplies bf16 itself. @defaultValue 'float32' */
  readonly computeDtype?: 'auto' | ComputeDType | undefined;
  /** Path of the library. @defaultValue that of the platform package */
  readonly library?: string | undefined;
}

/** Values of `airllm_compute` in native/airllm.h. */
const COMPUTE = { float32: 0, bfloat16: 1 } as const;
/** Most threads a context takes. */
const MAX_THREADS = 1024;

/**
 * Runs graphs in C++ on its own threads; a call only submits a part and waits, so it does not matter that it waits on
 * libuv's pool.
 */
export class NativeExecutor implements Executor {
  readonly info: ExecutorInfo;
  readonly #library: NativeLibrary;
  readonly #context: Address;
  readonly #frame = new CallFrame();
  readonly #ropes = new RopeTables();
  readonly #programs = new Map<string, Program>();
  readonly #handles: Address[] = [];
  /** The call before, so that calls made at once run one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #disposal: Promise<void> | undefined;

  private constructor(library: NativeLibrary, context: Address, info: ExecutorInfo) {
    this.#library = library;
    this.#context = context;
    this.info = info;
  }

  /** Throws `ExecutorUnavailableError` where the library or the instruction set is not there. */
  static open(options: NativeOptions = {}): NativeExecutor {
    const threads = options.threads ?? availableParallelism();
    if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
      throw new OptionError({ option: 'threads', expected: `a whole number from 1 to ${MAX_THREADS}`, found: threads });
    }
    const library = openLibrary(options.library ?? findLibrary());
    const available = instructionSets(library);
    const isa = options.isa ?? available[0]!;
    if (!available.includes(isa)) {
      const reason = `no instruction set ${isa} here; this CPU and library have ${available.join(', ')}`;
      throw new ExecutorUnavailableError({ executor: 'native', reason });
    }
    const computeDtype = resolveComputeDtype(library, isa, options.computeDtype ?? 'float32');
    const context = new BigUint64Array(1);
    library.check('open', library.contextCreate(isa, threads, COMPUTE[computeDtype], context));
    return new NativeExecutor(library, context[0]!, { name: 'native', isa, threads, computeDtype });
  }

  compile(graph: Graph): Program {
    if (this.#disposal !== undefined) throw new DisposedError('NativeExecutor');
    const known = this.#programs.get(graph.key);
    if (known !== undefined) return known;
    const program = new NativeProgram(graph, {
      create: (bytes) => this.#create(bytes),
      rope: (spec, rows) => this.#ropes.address(spec, rows),
      run: (handle, prepare) => this.#run(handle, prepare),
    });
    this.#programs.set(graph.key, program);
    return program;
  }

  /** Waits for the running part. Idempotent. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#exclusive(() => {
      for (const handle of this.#handles) this.#library.programDestroy(handle);
      this.#library.contextDestroy(this.#context);
      this.#frame.dispose();
      this.#ropes.dispose();
      this.#programs.clear();
    });
    return this.#disposal;
  }

  #create(bytes: Uint8Array): bigint {
    const handle = new BigUint64Array(1);
    this.#library.check('compile', this.#library.programCreate(bytes, bytes.byteLength, handle));
    this.#handles.push(handle[0]!);
    return handle[0]!;
  }

  #run(program: bigint, prepare: () => NativeCall): Promise<void> {
    if (this.#disposal !== undefined) return Promise.reject(new DisposedError('NativeExecutor'));
    return this.#exclusive(async () => {
      const run = this.#frame.write(prepare());
      this.#library.check('run', await this.#library.programRun.async(this.#context, program, run));
    });
  }

  #exclusive<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

function resolveComputeDtype(library: NativeLibrary, isa: string, asked: 'auto' | ComputeDType): ComputeDType {
  if (asked !== 'auto') return asked;
  return library.isaHasBf16(isa) === 1 ? 'bfloat16' : 'float32';
}
