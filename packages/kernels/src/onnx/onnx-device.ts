import type { HostBuffer } from '@airllm/loader';
import { GraphError, StateFullError } from '../errors';
import type { Device, DevicePass, DeviceWeights, Program, UploadOptions, WeightBytes } from '../executor';
import type { Graph, Part, StateSpec } from '../graph/graph';
import type { Connection } from './connection';
import { activationBytes, type TransferBytes, transferBytes } from './device-bytes';
import { DeviceState, positionBytes, stateSlots } from './device-state';
import { OnnxWeights } from './device-weights';
import { DeviceMemoryError } from './errors';
import { Holds } from './memory-ref';
import { OnnxProgram } from './onnx-program';
import { sessionOverhead } from './pinned-size';
import type { Opened, WorkerStats } from './protocol';
import { type StoredWeight, storedWeights } from './stored-weights';
import { weightsOf } from './weights-of';

/** The memory a provider computes from, and the account of it. */
export class OnnxDevice implements Device {
  readonly name: string;
  readonly limitBytes: number;
  readonly statesOnHost: boolean;
  readonly #connection: Connection;
  readonly #opened: Opened;
  #usedBytes = 0;

  constructor(connection: Connection, opened: Opened, limitBytes: number) {
    this.name = opened.name;
    this.limitBytes = limitBytes;
    this.statesOnHost = opened.weightsAlone;
    this.#connection = connection;
    this.#opened = opened;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Throws `DeviceMemoryError` where the limit does not allow it. */
  async upload(
    program: Program,
    part: Part,
    weights: readonly (WeightBytes | undefined)[],
    { stays = false }: UploadOptions = {},
  ): Promise<DeviceWeights> {
    if (!(program instanceof OnnxProgram)) throw new GraphError('program', 'another executor compiled it');
    const { graph, part: inner } = weightsOf(program.graph, part);
    const id = this.#connection.nextId();
    const expected = this.uploadBytes(program, part);
    this.#take('weights', expected);
    let taken = expected;
    const holds = new Holds();
    try {
      const weightBytes = await this.#connection.ask<number>({
        do: 'upload',
        program: program.id,
        part,
        weights: holds.weights(graph, inner, weights, 0),
        id,
        stays,
      });
      const deviceBytes = weightBytes + this.#sessionBytes(graph, inner);
      // Matrices that float16 cannot hold took twice as much.
      this.#usedBytes += deviceBytes - taken;
      taken = deviceBytes;
      const freed = () => {
        this.#usedBytes -= deviceBytes;
      };
      const uploaded = new OnnxWeights({ deviceBytes, id, connection: this.#connection, freed });
      if (this.#usedBytes <= this.limitBytes) return uploaded;
      uploaded.dispose();
      taken = 0;
      throw this.#full('weights', deviceBytes);
    } catch (error) {
      if (!DeviceMemoryError.isInstance(error)) this.#usedBytes -= taken;
      throw error;
    } finally {
      holds.release();
    }
  }

  /** As matrices are stored here: float16 where the device computes with it, else float32. */
  uploadBytes(program: Program, part: Part): number {
    return this.#storedBytes(program, part, ({ bytes }) => bytes);
  }

  mostUploadBytes(program: Program, part: Part): number {
    return this.#storedBytes(program, part, ({ mostBytes }) => mostBytes);
  }

  async available(bytes: number): Promise<number> {
    // Nobody can be asked for memory that only sessions take.
    if (this.statesOnHost) return bytes;
    return this.#connection.ask<number>({ do: 'probe', bytes });
  }

  async held(): Promise<{ now: number; most: number }> {
    const { bufferBytes, peakBytes } = await this.#connection.ask<WorkerStats>({ do: 'stats' });
    return { now: bufferBytes, most: peakBytes };
  }

  createState(spec: StateSpec, maxLength: number): DeviceState {
    return new DeviceState(spec, maxLength, this.#connection, {
      take: (bytes) => {
        if (this.statesOnHost) return;
        const used = this.#usedBytes;
        if (used + bytes > this.limitBytes) {
          throw new StateFullError({ needed: bytes, used, limit: this.limitBytes });
        }
        this.#usedBytes += bytes;
      },
      give: (bytes) => {
        if (this.statesOnHost) return;
        this.#usedBytes -= bytes;
      },
    });
  }

  stateBytes(spec: StateSpec, maxLength: number): number {
    return stateSlots(spec, maxLength) * positionBytes(spec);
  }

  activationBytes(passes: readonly DevicePass[], length: number): number {
    return activationBytes(passes, length, this.#opened);
  }

  transferBytes(passes: readonly DevicePass[], totalBytes: number): TransferBytes {
    return transferBytes(passes, totalBytes, this.#opened);
  }

  receive(carry: ReadonlyMap<string, HostBuffer>): void {
    const holds = new Holds();
    this.#connection.watch(...carry.values());
    const told = this.#connection.ask({ do: 'receive', carry: holds.carry(carry) });
    told.catch(() => {}).finally(() => holds.release());
  }

  async send(carry: ReadonlyMap<string, HostBuffer>, rows: number): Promise<void> {
    const holds = new Holds();
    try {
      await this.#connection.ask({ do: 'send', carry: holds.carry(carry), rows });
    } finally {
      holds.release();
    }
  }

  /** What holding weights takes beside them. */
  #sessionBytes(graph: Graph, part: Part): number {
    return this.#opened.weightsAlone ? sessionOverhead(graph, part) : 0;
  }

  #storedBytes(program: Program, outer: Part, of: (weight: StoredWeight) => number): number {
    const { graph, part } = weightsOf(program.graph, outer);
    const stored = storedWeights(graph, part, this.#opened);
    return stored.reduce((sum, weight) => sum + of(weight), this.#sessionBytes(graph, part));
  }

  #take(what: string, bytes: number): void {
    if (this.#usedBytes + bytes > this.limitBytes) throw this.#full(what, bytes);
    this.#usedBytes += bytes;
  }

  #full(what: string, needed: number): DeviceMemoryError {
    return new DeviceMemoryError({
      device: this.name,
      what,
      needed,
      used: this.#usedBytes,
      limit: this.limitBytes,
    });
  }
}
