import type { HostBuffer } from '@airllm/loader';
import { GraphError, StateFullError } from '../errors';
import type { Device, DeviceWeights, Program, UploadOptions, WeightBytes } from '../executor';
import type { Graph, Part, StateSpec } from '../graph/graph';
import { opWeights } from '../graph/ops';
import { layoutWorkspace } from '../graph/workspace';
import type { Connection } from './connection';
import { DeviceState, positionBytes, stateSlots } from './device-state';
import { OnnxWeights } from './device-weights';
import { DeviceMemoryError } from './errors';
import { Holds } from './memory-ref';
import { OnnxProgram } from './onnx-program';
import { packedBytes, packedForm } from './packed-form';
import { sessionOverhead } from './pinned-size';
import type { Opened } from './protocol';
import { PIECE_BYTES, SCORE_BYTES } from './sizes';
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
  uploadBytes(program: Program, outer: Part): number {
    const { graph, part } = weightsOf(program.graph, outer);
    const { slice } = part;
    const components = new Set(graph.weights.flatMap(({ packed }) => Object.values(packed?.components ?? {})));
    let bytes = this.#sessionBytes(graph, part);
    for (const id of new Set(graph.ops.slice(part.from, part.to).flatMap((op) => opWeights(op, graph)))) {
      if (components.has(id)) continue;
      const { shape, packed, dtype, layout } = graph.weights[id]!;
      const matrix = layout === 'out,in' || layout === 'in,out';
      const rows = matrix && slice !== undefined ? slice.to - slice.from : matrix ? shape[0]! : 1;
      const form = packed && matrix ? packedForm(packed, this.#opened.packs) : undefined;
      if (form !== undefined) {
        bytes += packedBytes(form, rows, packed!.columns);
        continue;
      }
      const columns = packed?.columns ?? shape.at(-1)!;
      bytes += rows * columns * (matrix && dtype !== 'F32' && this.#opened.halfFloats ? 2 : 4);
    }
    return bytes;
  }

  available(bytes: number): Promise<number> {
    return this.#connection.ask<number>({ do: 'probe', bytes });
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

  /**
   * Values that wait between sessions, those that sessions make inside, and what does not depend on the rows: scores of
   * attention, matrices brought to float32, staging of one upload.
   */
  activationBytes(programs: readonly Program[], maxRows: number): number {
    const columns = programs.map(({ graph }) => 2 * layoutWorkspace(graph).totalColumns + carriedColumns(graph));
    const piece = Math.min(PIECE_BYTES, Math.max(0, ...programs.map(({ graph }) => largestMatrix(graph))));
    return 4 * maxRows * Math.max(0, ...columns) + 4 * SCORE_BYTES + 3 * piece;
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

/** Bytes in float32, of its experts too. */
function largestMatrix({ weights, ops }: Graph): number {
  const own = weights.map(({ shape, packed, layout }) =>
    layout === 'out,in' || layout === 'in,out' ? 4 * shape[0]! * (packed?.columns ?? shape[1] ?? 1) : 0,
  );
  const experts = ops.map((op) => (op.op === 'expert' ? largestMatrix(op.graph) : 0));
  return Math.max(0, ...own, ...experts);
}

function carriedColumns({ inputs, outputs, values }: Graph): number {
  const names = new Map([...inputs, ...outputs]);
  return [...names.values()].reduce((sum, id) => sum + values[id]!.width, 0);
}
