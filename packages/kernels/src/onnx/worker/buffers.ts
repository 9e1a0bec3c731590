import type { Backend, DeviceBuffer } from './backend';

/** Buffers for values, handed out again when their value is no longer needed: passes alike allocate nothing. */
export class BufferPool {
  readonly #backend: Backend;
  readonly #free = new Map<number, DeviceBuffer[]>();

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  async take(byteLength: number): Promise<DeviceBuffer> {
    return this.#free.get(byteLength)?.pop() ?? (await this.#backend.allocate(byteLength));
  }

  give(buffer: DeviceBuffer): void {
    const same = this.#free.get(buffer.byteLength);
    if (same === undefined) this.#free.set(buffer.byteLength, [buffer]);
    else same.push(buffer);
  }

  /** Frees what nobody uses. */
  trim(): void {
    for (const buffers of this.#free.values()) for (const buffer of buffers) this.#backend.free(buffer);
    this.#free.clear();
  }
}
