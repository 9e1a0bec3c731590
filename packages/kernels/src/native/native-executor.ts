import { availableParallelism } from 'node:os';
import { DisposedError, OptionError } from '@airllm/loader';
import { ExecutorUnavailableError } from '../errors';
import type { Chain, ChainLink, ComputeDType, Executor, ExecutorInfo, Program } from '../executor';
import type { Graph } from '../graph/graph';
import { CallFrame, type NativeSteps } from './call-frame';
import { type Address, instructionSets, type NativeLibrary, openLibrary, PLACES } from './library';
import { NativeChain } from './native-chain';
import { type NativeHost, NativeProgram } from './native-program';
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
/** What the library has for tests alone: the kernel for AMX, on CPUs without it. */
const EMULATED = 'amx-emulated';
/** Most threads a context takes. */
const MAX_THREADS = 1024;

/** Where a run is written down while it is computed, and when it has been. */
interface Place {
  readonly frame: CallFrame;
  free: Promise<unknown>;
}

/**
 * Runs graphs in C++ on its own threads. Calls may be made at once: they are computed in the order they were made, and
 * the next ones are handed over while one is computed, so that threads need not wait for JavaScript in between. One
 * thread of libuv's pool waits for their ends, one after the other.
 */
export class NativeExecutor implements Executor {
  readonly info: ExecutorInfo;
  readonly #library: NativeLibrary;
  readonly #context: Address;
  readonly #places: readonly Place[] = Array.from({ length: PLACES }, () => ({
    frame: new CallFrame(),
    free: Promise.resolve(),
  }));
  readonly #ropes = new RopeTables();
  readonly #programs = new Map<string, Program>();
  readonly #handles: Address[] = [];
  readonly #host: NativeHost = {
    create: (bytes) => this.#create(bytes),
    rope: (spec, rows) => this.#ropes.address(spec, rows),
    run: (write, free) => this.#run(write, free),
  };
  #calls = 0;
  /** The call before has been handed over, or has failed; it and all before it have ended. */
  #submitted: Promise<unknown> = Promise.resolve();
  #ended: Promise<unknown> = Promise.resolve();
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
    if (!available.includes(isa) && isa !== EMULATED) {
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
    const program = new NativeProgram(graph, this.#host);
    this.#programs.set(graph.key, program);
    return program;
  }

  chain(links: readonly ChainLink[]): Chain {
    if (this.#disposal !== undefined) throw new DisposedError('NativeExecutor');
    return new NativeChain(links, this.#host);
  }

  /** Waits for the parts that were to be run. Idempotent. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    await this.#ended;
    for (const handle of this.#handles) this.#library.programDestroy(handle);
    this.#library.contextDestroy(this.#context);
    for (const { frame } of this.#places) frame.dispose();
    this.#ropes.dispose();
    this.#programs.clear();
  }

  #create(bytes: Uint8Array): bigint {
    const handle = new BigUint64Array(1);
    this.#library.check('compile', this.#library.programCreate(bytes, bytes.byteLength, handle));
    this.#handles.push(handle[0]!);
    return handle[0]!;
  }

  #run(write: (frame: CallFrame) => NativeSteps, free?: Promise<unknown>): Promise<void> {
    if (this.#disposal !== undefined) return Promise.reject(new DisposedError('NativeExecutor'));
    const index = this.#calls++ % PLACES;
    const place = this.#places[index]!;
    const before = this.#ended;
    const submitted = this.#submit(write, index, Promise.all([this.#submitted, place.free, free]));
    const done = submitted.then(() => before).then(() => this.#wait(index));
    this.#submitted = submitted.catch(() => undefined);
    this.#ended = Promise.allSettled([before, done]);
    place.free = this.#ended;
    return done;
  }

  async #submit(write: (frame: CallFrame) => NativeSteps, place: number, turn: Promise<unknown>): Promise<void> {
    await turn;
    const { address, count } = write(this.#places[place]!.frame);
    this.#library.check('run', this.#library.submit(this.#context, address, count, place));
  }

  async #wait(place: number): Promise<void> {
    // Should libuv not take the call, threads compute all the same, in buffers that must not be given back meanwhile.
    const waiting = this.#library.wait.async(this.#context, place);
    this.#library.check('run', await waiting.catch(() => this.#library.wait(this.#context, place)));
  }
}

function resolveComputeDtype(library: NativeLibrary, isa: string, asked: 'auto' | ComputeDType): ComputeDType {
  if (asked !== 'auto') return asked;
  return library.isaHasBf16(isa) === 1 ? 'bfloat16' : 'float32';
}
