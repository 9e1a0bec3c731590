import { GraphError } from '../../errors';
import type { Graph, KvStateSpec } from '../../graph/graph';
import { completesPart } from '../../graph/part';
import { remember } from '../../remember';
import type { PassRows } from '../../rows';
import { failureOf } from '../failure';
import {
  type CarryRef,
  KNOWN_ROWS,
  type MemoryRef,
  type Request,
  type RowsRef,
  type RunRequest,
  type StateRef,
  type WorkerStats,
} from '../protocol';
import type { Backend } from './backend';
import { BufferPool } from './buffers';
import type { Carries } from './carries';
import type { WorkerState } from './device-state';
import type { Frame } from './frame';
import { HostState } from './host-state';
import { type PinnedPart, pinPart } from './pinned-part';
import type { Pinning } from './pinning';
import { probeMemory } from './probe-memory';
import { runPart } from './run-part';
import { Scope } from './scope';
import { Sessions } from './sessions';
import { freeStaged, stageWeights } from './staging';
import { type BlockWay, readBlocks, writeBlocks } from './state-blocks';
import { forkState, freeState, newState, resizeState } from './states';
import { type StagedWeights, stagedBytes } from './weights';

type Ask<Do extends Request['do']> = Extract<Request, { do: Do }>;

/** What one executor has in the worker: programs, sessions, weights, states and values. */
export class WorkerExecutor {
  readonly #backend: Backend;
  readonly #carries: Carries;
  readonly #sessions: Sessions;
  readonly #pool: BufferPool;
  readonly #graphs = new Map<number, Graph>();
  readonly #rows = new Map<number, PassRows>();
  readonly #pinning: Pinning | undefined;
  readonly #weights = new Map<number, StagedWeights>();
  readonly #pinned = new Map<number, PinnedPart>();
  readonly #states = new Map<number, WorkerState>();
  /** Why states that were asked for are not there, or not as large. */
  readonly #unmade = new Map<number, unknown>();
  /** Values of a program's block in a pass, by the workspace they would lie in and the program. */
  readonly #scopes = new Map<number, Map<number, Scope>>();

  constructor(backend: Backend, carries: Carries, pinning?: Pinning) {
    this.#backend = backend;
    this.#carries = carries;
    this.#pinning = pinning;
    this.#sessions = new Sessions(backend);
    this.#pool = new BufferPool(backend);
  }

  async answer(request: Request): Promise<unknown> {
    try {
      return await this.#answer(request);
    } catch (error) {
      if (failureOf((error as Error).message) === 'memory') this.#dropValues();
      throw error;
    }
  }

  /** Any of their buffers may be one that there was no memory for, which a device says late and not of which. */
  #dropValues(): void {
    for (const scopes of this.#scopes.values()) for (const scope of scopes.values()) scope.clear();
    this.#scopes.clear();
    this.#carries.clear();
    this.#pool.trim();
  }

  async #answer(request: Request): Promise<unknown> {
    switch (request.do) {
      case 'program':
        this.#graphs.set(request.program, request.graph);
        return undefined;
      case 'run':
        return this.#run(request);
      case 'upload':
        return this.#upload(request);
      case 'freeWeights':
        return this.#freeWeights(request.id);
      case 'createState':
        return this.#keep(request.id, () => newState(this.#backend, request.spec, request.slots));
      case 'resizeState':
        return this.#keep(request.id, () =>
          resizeState(this.#backend, this.#sessions, this.#state(request.id), request),
        );
      case 'forkState':
        return this.#keep(request.id, () => forkState(this.#backend, this.#state(request.from)));
      case 'freeState':
        return this.#freeState(request.id);
      case 'readBlocks':
        return readBlocks(this.#blockWay(request), request);
      case 'writeBlocks':
        return writeBlocks(this.#blockWay(request), request);
      case 'receive':
        return this.#carries.receive(request.carry);
      case 'send':
        return this.#carries.send(request.carry, request.rows);
      case 'forget':
        return this.#forget(request.ids);
      case 'probe':
        this.#pool.trim();
        return probeMemory(this.#backend, request.bytes);
      case 'stats':
        return this.#stats();
      case 'close':
        return this.#close();
      default:
        throw new GraphError('worker', `it was asked to ${request.do}`);
    }
  }

  async #run(request: RunRequest): Promise<Int32Array | undefined> {
    const { part, weights } = request;
    const graph = this.#graph(request.program);
    const pinned = 'uploaded' in weights ? this.#pinned.get(weights.uploaded) : undefined;
    const known = pinned?.weights ?? ('uploaded' in weights ? this.#weights.get(weights.uploaded) : undefined);
    if ('uploaded' in weights && known === undefined) throw new GraphError('weights', 'they were disposed');
    const staged =
      known ?? (await stageWeights(this.#backend, graph, part, weights as (MemoryRef | undefined)[], false));
    try {
      const scope = this.#scope(request, graph);
      const frame = this.#frame(request, scope, staged, pinned);
      const routes = await runPart(frame, part);
      if (part.to === graph.ops.length && completesPart(graph, part)) {
        await this.#carryOut(request, frame);
        scope.clear();
      }
      return routes;
    } finally {
      if (known === undefined) freeStaged(this.#backend, staged.values());
    }
  }

  #frame(request: RunRequest, scope: Scope, weights: StagedWeights, pinned: PinnedPart | undefined): Frame {
    const { graph } = scope;
    const rows = this.#rowsOf(request.rows);
    const carried = new Map([...graph.inputs].map(([name, id]) => [id, name]));
    return {
      backend: this.#backend,
      sessions: this.#sessions,
      key: `program ${request.program}`,
      scope,
      count: rows.count,
      rows,
      weights,
      pinned,
      state: (index, sequence) => this.#stateOf(graph.states[index]!, request.states[index]![sequence]!),
      value: async (id) => {
        const name = carried.get(id);
        if (name === undefined) return scope.tensor(id, rows.count);
        return this.#carries.input(carryOf(request, name), rows.count, graph.values[id]!.width);
      },
    };
  }

  /** Hands the block's outputs to the buffers of their names. */
  async #carryOut(request: RunRequest, { scope, count }: Frame): Promise<void> {
    const { inputs, outputs, values } = scope.graph;
    const carried = new Map([...inputs].map(([name, id]) => [id, name]));
    for (const [name, id] of outputs) {
      const { width } = values[id]!;
      const from = carried.get(id);
      if (from === name) continue;
      if (from !== undefined) {
        await this.#carries.pass(carryOf(request, from), carryOf(request, name), count, width);
        continue;
      }
      const free = await this.#carries.output(carryOf(request, name), scope.buffer(id), count, width);
      scope.exchange(id, free);
    }
  }

  #scope({ program, workspace, part, maxRows }: RunRequest, graph: Graph): Scope {
    const scopes = remember(this.#scopes, workspace, () => new Map<number, Scope>());
    const begins = part.from === 0 && (part.slice?.from ?? 0) === 0;
    const known = scopes.get(program);
    if (known !== undefined && known.maxRows === maxRows) {
      // What a pass left that failed.
      if (begins) known.clear();
      return known;
    }
    known?.clear();
    if (known !== undefined) this.#pool.trim();
    const scope = new Scope(graph, maxRows, this.#pool);
    scopes.set(program, scope);
    return scope;
  }

  #rowsOf({ id, rows }: RowsRef): PassRows {
    if (rows !== undefined) {
      this.#rows.set(id, rows);
      for (const old of this.#rows.keys()) if (old <= id - KNOWN_ROWS) this.#rows.delete(old);
    }
    const known = this.#rows.get(id);
    if (known === undefined) throw new GraphError('rows', `pass ${id} is not known any more`);
    return known;
  }

  /** The bytes they take. */
  async #upload({ program, part, weights, id, stays }: Ask<'upload'>): Promise<number> {
    const graph = this.#graph(program);
    if (stays && this.#pinning !== undefined && part.expert === undefined) {
      const { pinned, bytes } = await pinPart(this.#pinning, graph, part, weights);
      this.#pinned.set(id, pinned);
      return bytes;
    }
    const staged = await stageWeights(this.#backend, graph, part, weights);
    this.#weights.set(id, staged);
    return stagedBytes(staged);
  }

  async #freeWeights(id: number): Promise<void> {
    freeStaged(this.#backend, this.#weights.get(id)?.values() ?? []);
    this.#weights.delete(id);
    await this.#pinned.get(id)?.release();
    this.#pinned.delete(id);
  }

  /** Nobody waits for a state to be made: what kept it from being made is said to whoever needs it. */
  async #keep(id: number, make: () => Promise<WorkerState>): Promise<void> {
    try {
      this.#states.set(id, await make());
    } catch (error) {
      this.#unmade.set(id, error);
    }
  }

  #blockWay({ id, memory }: Ask<'readBlocks' | 'writeBlocks'>): BlockWay {
    return { backend: this.#backend, sessions: this.#sessions, state: this.#state(id), memory };
  }

  #freeState(id: number): void {
    this.#unmade.delete(id);
    const state = this.#states.get(id);
    if (state === undefined) return;
    freeState(this.#backend, state);
    this.#states.delete(id);
  }

  #stateOf(spec: KvStateSpec, state: StateRef): HostState | WorkerState {
    return 'blocks' in state ? new HostState(spec, state.blocks) : this.#state(state.state);
  }

  #state(id: number): WorkerState {
    if (this.#unmade.has(id)) throw this.#unmade.get(id);
    const state = this.#states.get(id);
    if (state === undefined) throw new GraphError('state', 'it has no memory: reserve() before a pass');
    return state;
  }

  #graph(program: number): Graph {
    const graph = this.#graphs.get(program);
    if (graph === undefined) throw new GraphError('program', `there is no program ${program}`);
    return graph;
  }

  #forget(ids: readonly number[]): void {
    this.#carries.forget(ids);
    for (const id of ids) {
      for (const scope of this.#scopes.get(id)?.values() ?? []) scope.clear();
      this.#scopes.delete(id);
    }
    this.#pool.trim();
  }

  #stats(): WorkerStats {
    const { buffers, bufferBytes, peakBytes } = this.#backend;
    const pinned = [...this.#pinned.values()].reduce((sum, part) => sum + part.sessions, 0);
    return { sessions: this.#sessions.count + pinned, buffers, bufferBytes, peakBytes, runs: this.#sessions.runs };
  }

  async #close(): Promise<void> {
    for (const part of this.#pinned.values()) await part.release();
    await this.#pinning?.staging.close();
    await this.#sessions.close();
    await this.#backend.close();
  }
}

function carryOf({ carry }: RunRequest, name: string): CarryRef {
  const ref = carry.get(name);
  if (ref === undefined) throw new GraphError('carry', `no buffer was given for ${name}`);
  return ref;
}
