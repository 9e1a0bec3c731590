import { DisposedError, type HostBuffer } from '@airllm/loader';
import type { PassRows } from '../rows';
import { doing } from './doing';
import { OnnxError } from './errors';
import { bufferId } from './memory-ref';
import type { OnnxWorker } from './onnx-worker';
import { KNOWN_ROWS, type Request, type RowsRef } from './protocol';

/** What an executor computes on, for errors. */
export interface ConnectionFacts {
  readonly device: string;
  /** Bytes of its memory. */
  readonly granted: number;
}

/** One executor's line to the worker. */
export class Connection {
  readonly #worker: OnnxWorker;
  readonly #facts: ConnectionFacts;
  readonly #executor: number;
  readonly #rowIds = new WeakMap<PassRows, number>();
  #passes = 0;
  #ids = 0;
  #watched = new Set<HostBuffer>();
  #closed = false;

  constructor(worker: OnnxWorker, facts: ConnectionFacts) {
    this.#worker = worker;
    this.#facts = facts;
    this.#executor = worker.enter();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Rejects with an `OnnxError` that says what was being done, and with `GraphError`. */
  async ask<T = void>(request: Request): Promise<T> {
    if (this.#closed) throw new DisposedError('OnnxExecutor');
    try {
      return await this.#worker.ask<T>(this.#executor, request);
    } catch (error) {
      if (!OnnxError.isInstance(error)) throw error;
      const { reason, failure } = error;
      throw new OnnxError({ reason, failure, doing: doing(request), ...this.#facts, cause: error });
    }
  }

  /** Asks for what cannot be waited for; should it fail, whatever needs it will say so. */
  tell(request: Request): void {
    if (!this.#closed) this.#worker.ask(this.#executor, request).catch(() => {});
  }

  /** A number for something of the worker's. */
  nextId(): number {
    return this.#ids++;
  }

  /** The rows whole where the worker does not know them. */
  rows(rows: PassRows): RowsRef {
    const known = this.#rowIds.get(rows);
    if (known !== undefined && known > this.#passes - KNOWN_ROWS) return { id: known };
    const id = this.#passes++;
    this.#rowIds.set(rows, id);
    const { count, sequence, position, visibleFrom, ropeLength } = rows;
    return { id, rows: { count, sequence, position, visibleFrom, ropeLength } };
  }

  /** Lets the worker forget what it keeps for buffers that are disposed, when new ones come. */
  watch(...buffers: readonly HostBuffer[]): void {
    if (buffers.every((buffer) => this.#watched.has(buffer))) return;
    const gone = [...this.#watched].filter(({ disposed }) => disposed);
    for (const buffer of gone) this.#watched.delete(buffer);
    for (const buffer of buffers) this.#watched.add(buffer);
    if (gone.length > 0) this.tell({ do: 'forget', ids: gone.map(bufferId) });
  }

  /** Ends what the worker holds for this executor. */
  async close(endsWorker: boolean): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#worker.ask(this.#executor, { do: 'close' }).catch(() => {});
    if (endsWorker) await this.#worker.close();
  }
}
