import { availableParallelism } from 'node:os';
import { DisposedError, foreignAvailable, OptionError } from '@airllm/loader';
import { ExecutorUnavailableError } from '../errors';
import type { Executor, ExecutorInfo, Program } from '../executor';
import type { Graph } from '../graph/graph';
import { requireHere } from '../here';
import { checkDtypes } from '../reference/frame';
import { Connection } from './connection';
import { OnnxError } from './errors';
import { OnnxDevice } from './onnx-device';
import { OnnxProgram } from './onnx-program';
import { OnnxWorker } from './onnx-worker';
import type { Opened, WorkerStats } from './protocol';
import { PROVIDERS, type Provider } from './providers';

export interface OnnxOptions {
  /** What of onnxruntime computes. @defaultValue 'cpu' */
  readonly provider?: Provider | undefined;
  /** Threads that compute what the CPU does. @defaultValue what the machine has */
  readonly threads?: number | undefined;
  /** Most bytes of weights and states on the device. @defaultValue no limit */
  readonly deviceMemory?: number | undefined;
}

interface Settings {
  readonly provider: Provider;
  readonly threads: number;
  readonly deviceMemory: number;
}

const MAX_THREADS = 1024;

/**
 * Runs graphs as ONNX models through onnxruntime-node: on the CPU, where it needs no library of ours, or on a GPU by
 * WebGPU. Its calls block, so they are made in a thread of their own.
 */
export class OnnxExecutor implements Executor {
  readonly info: ExecutorInfo;
  readonly device: OnnxDevice;
  readonly #connection: Connection;
  readonly #provider: Provider;
  readonly #programs = new Map<string, OnnxProgram>();

  private constructor(connection: Connection, opened: Opened, options: Settings) {
    const { provider, threads, deviceMemory } = options;
    this.#connection = connection;
    this.#provider = provider;
    this.info = { name: 'onnx', isa: provider, threads: provider === 'webgpu' ? 1 : threads, computeDtype: 'float32' };
    this.device = new OnnxDevice(connection, opened, deviceMemory);
  }

  /** Rejects with `ExecutorUnavailableError` where onnxruntime-node is not installed, or has no such device. */
  static async open(options: OnnxOptions = {}): Promise<OnnxExecutor> {
    const complete = checkOptions(options);
    findRuntime();
    const { provider, threads, deviceMemory } = complete;
    const connection = new Connection(await OnnxWorker.for(provider), { device: provider, granted: deviceMemory });
    try {
      const opened = await connection.ask<Opened>({ do: 'open', provider, threads });
      return new OnnxExecutor(connection, opened, complete);
    } catch (cause) {
      await connection.close(provider === 'cpu');
      if (!OnnxError.isInstance(cause)) throw cause;
      const reason = `no ${provider} device can be used: ${cause.reason}`;
      throw new ExecutorUnavailableError({ executor: 'onnx', reason, cause });
    }
  }

  compile(graph: Graph): Program {
    if (this.#connection.closed) throw new DisposedError('OnnxExecutor');
    let program = this.#programs.get(graph.key);
    if (program === undefined) {
      checkDtypes(graph);
      program = new OnnxProgram(graph, this.#connection.nextId(), this.#connection);
      this.#connection.tell({ do: 'program', program: program.id, graph });
      this.#programs.set(graph.key, program);
    }
    return program;
  }

  /** What the worker holds for this executor. */
  stats(): Promise<WorkerStats> {
    return this.#connection.ask<WorkerStats>({ do: 'stats' });
  }

  /** Waits for what was to be run. Idempotent. */
  async dispose(): Promise<void> {
    await this.#connection.close(this.#provider === 'cpu');
    this.#programs.clear();
  }
}

function checkOptions({ provider = 'cpu', threads, deviceMemory }: OnnxOptions): Settings {
  if (!(PROVIDERS as readonly unknown[]).includes(provider)) {
    throw new OptionError({ option: 'provider', expected: `one of ${PROVIDERS.join(', ')}`, found: provider });
  }
  const count = threads ?? availableParallelism();
  if (!Number.isInteger(count) || count < 1 || count > MAX_THREADS) {
    throw new OptionError({ option: 'threads', expected: `a whole number from 1 to ${MAX_THREADS}`, found: threads });
  }
  const limit = deviceMemory ?? Number.POSITIVE_INFINITY;
  if (!(limit > 0)) {
    throw new OptionError({ option: 'deviceMemory', expected: 'a number of bytes above 0', found: deviceMemory });
  }
  return { provider, threads: count, deviceMemory: limit };
}

/** Says what to install. Nothing of onnxruntime is loaded here: its library belongs to the worker. */
function findRuntime(): void {
  try {
    requireHere().resolve('onnxruntime-node');
  } catch (cause) {
    const reason =
      'onnxruntime-node is not installed; add it beside @airllm/kernels ' +
      '(ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node@^1.30.0)';
    throw new ExecutorUnavailableError({ executor: 'onnx', reason, cause });
  }
  if (foreignAvailable()) return;
  const reason = 'the foreign function interface is not installed; install optional dependencies for this platform';
  throw new ExecutorUnavailableError({ executor: 'onnx', reason });
}
