import type { DeviceWeights } from '../executor';
import type { Connection } from './connection';

/** Weights of a part in the worker's keeping. */
export class OnnxWeights implements DeviceWeights {
  readonly deviceBytes: number;
  readonly id: number;
  readonly connection: Connection;
  readonly #freed: () => void;
  #disposed = false;

  constructor(fields: { deviceBytes: number; id: number; connection: Connection; freed: () => void }) {
    this.deviceBytes = fields.deviceBytes;
    this.id = fields.id;
    this.connection = fields.connection;
    this.#freed = fields.freed;
  }

  static isInstance(weights: DeviceWeights): weights is OnnxWeights {
    return weights instanceof OnnxWeights;
  }

  /** Calls made before this still find them: the worker does one thing after the other. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.connection.tell({ do: 'freeWeights', id: this.id });
    this.#freed();
  }
}
