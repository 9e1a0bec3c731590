import type { Tensor } from 'onnxruntime-node';
import type { CarryRef } from '../protocol';
import type { Backend, DeviceBuffer } from './backend';
import { bytesAt, floatsAt } from './memory';

type Refs = ReadonlyMap<string, CarryRef>;

/** Values carried between blocks: where a run finds its inputs and leaves its outputs. */
export interface Carries {
  /** An input of a run, float32 `[rows, width]`. */
  input(ref: CarryRef, rows: number, width: number): Promise<Tensor>;
  /**
   * Takes an output from the buffer that holds it, and gives back a buffer of the same size that is now free: maybe
   * another one.
   */
  output(ref: CarryRef, value: DeviceBuffer, rows: number, width: number): Promise<DeviceBuffer>;
  /** An output that is nothing but an input of another name. */
  pass(from: CarryRef, to: CarryRef, rows: number, width: number): Promise<void>;
  /** The host's memory is newer, and stays behind until `send`. */
  receive(refs: Refs): void;
  send(refs: Refs, rows: number): Promise<void>;
  /** The host's buffers of these numbers are gone. */
  forget(ids: readonly number[]): void;
  /** Values under way are lost. */
  clear(): void;
}

/** For a provider that computes in the host's memory. */
export class HostCarries implements Carries {
  readonly #backend: Backend;
  readonly #borrow: (memory: Float32Array) => DeviceBuffer;

  constructor(backend: Backend, borrow: (memory: Float32Array) => DeviceBuffer) {
    this.#backend = backend;
    this.#borrow = borrow;
  }

  async input({ memory }: CarryRef, rows: number, width: number): Promise<Tensor> {
    return this.#borrow(floatsAt(memory)).tensor('float32', [rows, width]);
  }

  async output({ memory }: CarryRef, value: DeviceBuffer, rows: number, width: number): Promise<DeviceBuffer> {
    floatsAt(memory).set(await this.#backend.read(value, rows * width));
    return value;
  }

  async pass(from: CarryRef, to: CarryRef, rows: number, width: number): Promise<void> {
    floatsAt(to.memory).set(floatsAt(from.memory).subarray(0, rows * width));
  }

  receive(): void {}
  async send(): Promise<void> {}
  forget(): void {}
  clear(): void {}
}

interface Mirror {
  buffer: DeviceBuffer | undefined;
  width: number;
  newer: 'host' | 'device' | 'neither';
  /** Between `receive` and `send` the host is not told of what is computed. */
  kept: boolean;
}

/** For a provider with memory of its own: a copy there of each buffer of the host. */
export class DeviceCarries implements Carries {
  readonly #backend: Backend;
  readonly #mirrors = new Map<number, Mirror>();

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  async input(ref: CarryRef, rows: number, width: number): Promise<Tensor> {
    const mirror = this.#mirror(ref);
    if (!mirror.kept || mirror.newer === 'host') {
      const buffer = await this.#bufferOf(mirror, ref);
      await this.#backend.write(buffer, floatsAt(ref.memory).subarray(0, rows * width));
      mirror.newer = 'neither';
    }
    mirror.width = width;
    return mirror.buffer!.tensor('float32', [rows, width]);
  }

  async output(ref: CarryRef, value: DeviceBuffer, rows: number, width: number): Promise<DeviceBuffer> {
    const mirror = this.#mirror(ref);
    mirror.width = width;
    if (!mirror.kept) {
      bytesAt(ref.memory).set(asBytes(await this.#backend.read(value, rows * width)));
      return value;
    }
    mirror.newer = 'device';
    const buffer = await this.#bufferOf(mirror, ref);
    if (buffer.byteLength === value.byteLength) {
      mirror.buffer = value;
      return buffer;
    }
    await this.#backend.copy(value, buffer, rows * width);
    return value;
  }

  async pass(from: CarryRef, to: CarryRef, rows: number, width: number): Promise<void> {
    const x = await this.input(from, rows, width);
    const values = await this.#backend.readTensor(x, rows * width);
    const mirror = this.#mirror(to);
    mirror.width = width;
    if (!mirror.kept) return void bytesAt(to.memory).set(asBytes(values));
    await this.#backend.write(await this.#bufferOf(mirror, to), values);
    mirror.newer = 'device';
  }

  receive(refs: Refs): void {
    for (const ref of refs.values()) {
      const mirror = this.#mirror(ref);
      mirror.kept = true;
      mirror.newer = 'host';
    }
  }

  async send(refs: Refs, rows: number): Promise<void> {
    for (const ref of refs.values()) {
      const mirror = this.#mirrors.get(ref.id);
      if (mirror === undefined) continue;
      if (mirror.newer === 'device') {
        const floats = await this.#backend.read(mirror.buffer!, rows * mirror.width);
        bytesAt(ref.memory).set(asBytes(floats));
      }
      mirror.kept = false;
      mirror.newer = 'neither';
    }
  }

  forget(ids: readonly number[]): void {
    for (const id of ids) {
      const buffer = this.#mirrors.get(id)?.buffer;
      if (buffer !== undefined) this.#backend.free(buffer);
      this.#mirrors.delete(id);
    }
  }

  clear(): void {
    this.forget([...this.#mirrors.keys()]);
  }

  #mirror({ id }: CarryRef): Mirror {
    let mirror = this.#mirrors.get(id);
    if (mirror === undefined) {
      mirror = { buffer: undefined, width: 0, newer: 'neither', kept: false };
      this.#mirrors.set(id, mirror);
    }
    return mirror;
  }

  async #bufferOf(mirror: Mirror, { memory }: CarryRef): Promise<DeviceBuffer> {
    mirror.buffer ??= await this.#backend.allocate(memory.length);
    return mirror.buffer;
  }
}

function asBytes(floats: Float32Array): Uint8Array {
  return new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
}
