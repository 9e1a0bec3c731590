import { HostBuffer } from '@airllm/loader';
import type { Part } from '../graph/graph';
import type { PassRows } from '../rows';

const NONE = 0xffffffff;
/** `sizeof(airllm_run)` of native/airllm.h, rounded up to a cache line. */
const RUN_BYTES = 128;

/** What `airllm_run` says, with addresses instead of buffers. */
export interface NativeCall {
  readonly part: Part;
  readonly rows: PassRows;
  readonly maxRows: number;
  readonly weights: readonly bigint[];
  readonly carry: readonly bigint[];
  readonly ropes: readonly bigint[];
  /** `states[s][q]`: block addresses of state s for sequence q. */
  readonly states: readonly (readonly BigUint64Array[])[];
  readonly workspace: bigint;
}

/** The native memory in which the struct `airllm_run` and the arrays it points to are written for each call. */
export class CallFrame {
  #buffer: HostBuffer | undefined;
  #bytes: Uint8Array = new Uint8Array(0);
  #used = 0;

  /** Writes the struct and returns its address, valid until the next call. */
  write(call: NativeCall): bigint {
    this.#reserve(frameBytes(call));
    const { rows, part, states } = call;
    const run = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, RUN_BYTES);
    run.setUint32(0, rows.count, true);
    run.setUint32(4, call.maxRows, true);
    writePart(run, 8, part);
    run.setUint32(24, part.expert?.id ?? NONE, true);
    run.setUint32(28, states[0]?.length ?? 0, true);
    writePart(run, 32, part.expert?.part);
    this.#used = RUN_BYTES;
    const pointers = [
      this.#put(rows.sequence.subarray(0, rows.count)),
      this.#put(rows.position.subarray(0, rows.count)),
      this.#put(rows.visibleFrom.subarray(0, rows.count)),
      this.#put(BigUint64Array.from(call.weights)),
      this.#put(BigUint64Array.from(call.carry)),
      this.#put(BigUint64Array.from(call.ropes)),
      this.#put(this.#tables(states.flat())),
      call.workspace,
    ];
    pointers.forEach((pointer, i) => {
      run.setBigUint64(48 + 8 * i, pointer, true);
    });
    return this.#buffer!.address;
  }

  dispose(): void {
    this.#buffer?.dispose();
    this.#buffer = undefined;
  }

  /** Pairs {address of the block addresses, their count}. */
  #tables(tables: readonly BigUint64Array[]): BigUint64Array {
    return BigUint64Array.from(tables.flatMap((table) => [this.#put(table), BigInt(table.length)]));
  }

  #put(array: Int32Array | BigUint64Array): bigint {
    const at = this.#used;
    this.#bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), at);
    this.#used = at + aligned(array.byteLength);
    return this.#buffer!.address + BigInt(at);
  }

  #reserve(byteLength: number): void {
    if (this.#buffer !== undefined && this.#buffer.byteLength >= byteLength) return;
    this.#buffer?.dispose();
    this.#buffer = HostBuffer.allocate(Math.max(16384, 2 * byteLength), { label: 'native call' });
    this.#bytes = this.#buffer.bytes();
  }
}

function frameBytes({ rows, weights, carry, ropes, states }: NativeCall): number {
  const tables = states.flat();
  const blocks = tables.reduce((sum, table) => sum + table.byteLength, 0);
  return (
    RUN_BYTES +
    3 * aligned(4 * rows.count) +
    8 * (weights.length + carry.length + ropes.length) +
    16 * tables.length +
    blocks
  );
}

function writePart(run: DataView, at: number, part: Part | undefined): void {
  const words = [part?.from ?? 0, part?.to ?? 0, part?.slice?.from ?? NONE, part?.slice?.to ?? NONE];
  words.forEach((word, i) => {
    run.setUint32(at + 4 * i, word, true);
  });
}

function aligned(byteLength: number): number {
  return Math.ceil(byteLength / 8) * 8;
}
