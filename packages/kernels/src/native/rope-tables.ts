import { HostBuffer } from '@airllm/loader';
import { ropeAngles } from '../rope/angles';
import type { RopeSpec } from '../rope/spec';
import type { PassRows } from '../rows';
import { PLACES } from './library';

/** As many passes' tables are kept as calls are held at a time: those of passes before may still be computed. */
const SETS = PLACES;

/** Copies of a pass's RoPE tables in native memory, made once per pass for all its blocks. */
export class RopeTables {
  #rows: PassRows | undefined;
  /** By the remembered table of `ropeAngles`, which is one object for all blocks of a pass. */
  readonly #addresses = new Map<Float32Array, bigint>();
  /** The n-th table of a pass lies in the n-th buffer of a set, so that later passes find memory ready. */
  readonly #sets: readonly HostBuffer[][] = Array.from({ length: SETS }, () => []);
  #set = 0;

  /** Address of the table `[rows, dim]`. Valid until rows have changed as often as there are sets. */
  address(spec: RopeSpec, rows: PassRows): bigint {
    if (rows !== this.#rows) {
      this.#rows = rows;
      this.#set = (this.#set + 1) % SETS;
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
    for (const buffers of this.#sets) {
      for (const buffer of buffers) buffer.dispose();
      buffers.length = 0;
    }
    this.#addresses.clear();
    this.#rows = undefined;
  }

  #buffer(index: number, byteLength: number): HostBuffer {
    const buffers = this.#sets[this.#set]!;
    const old = buffers[index];
    if (old !== undefined && old.byteLength >= byteLength) return old;
    old?.dispose();
    const buffer = HostBuffer.allocate(byteLength, { label: 'rope table' });
    buffers[index] = buffer;
    return buffer;
  }
}
