import { HostBuffer } from '@airllm/loader';
import { ropeAngles } from '../rope/angles';
import type { RopeSpec } from '../rope/spec';
import type { PassRows } from '../rows';

/** Copies of a pass's RoPE tables in native memory, made once per pass for all its blocks. */
export class RopeTables {
  #rows: PassRows | undefined;
  /** By the remembered table of `ropeAngles`, which is one object for all blocks of a pass. */
  readonly #addresses = new Map<Float32Array, bigint>();
  /** The n-th table of a pass lies in the n-th buffer, so that the next pass finds memory ready. */
  readonly #buffers: HostBuffer[] = [];

  /** Address of the table `[rows, dim]`. Valid until tables of other rows are asked for. */
  address(spec: RopeSpec, rows: PassRows): bigint {
    if (rows !== this.#rows) {
      this.#rows = rows;
      this.#addresses.clear();
    }
    const table = ropeAngles(spec, rows);
    let address = this.#addresses.get(table);
    if (address === undefined) {
      const buffer = this.#buffer(this.#addresses.size, table.byteLength);
      buffer.float32(0, table.length).set(table);
      address = buffer.address;
      this.#addresses.set(table, address);
    }
    return address;
  }

  dispose(): void {
    for (const buffer of this.#buffers) buffer.dispose();
    this.#buffers.length = 0;
    this.#addresses.clear();
    this.#rows = undefined;
  }

  #buffer(index: number, byteLength: number): HostBuffer {
    const old = this.#buffers[index];
    if (old !== undefined && old.byteLength >= byteLength) return old;
    old?.dispose();
    const buffer = HostBuffer.allocate(byteLength, { label: 'rope table' });
    this.#buffers[index] = buffer;
    return buffer;
  }
}
