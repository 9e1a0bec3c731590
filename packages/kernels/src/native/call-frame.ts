import { HostBuffer } from '@airllm/loader';
import type { Part } from '../graph/graph';
import type { PassRows } from '../rows';

/** `AIRLLM_NONE`, as a signed number. */
const NONE = -1;
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

/**
 * The native memory in which the struct `airllm_run` and the arrays it points to are written for each call. Written in
 * place: a pass of one row makes dozens of calls within a few hundredths of a second.
 */
export class CallFrame {
  #buffer: HostBuffer | undefined;
  #address = 0n;
  /** The memory as numbers of 32 and 64 bits; all platforms with a native library are little-endian. */
  #ints: Int32Array = new Int32Array(0);
  #longs: BigUint64Array = new BigUint64Array(0);
  /** Longs that are in use. */
  #used = 0;

  /** Writes the struct and returns its address, valid until the next call. */
  write(call: NativeCall): bigint {
    this.#reserve(frameBytes(call));
    const { rows, part } = call;
    const ints = this.#ints;
    ints[0] = rows.count;
    ints[1] = call.maxRows;
    this.#part(2, part);
    ints[6] = part.expert?.id ?? NONE;
    ints[7] = call.states[0]?.length ?? 0;
    this.#part(8, part.expert?.part);
    this.#used = RUN_BYTES / 8;
    const longs = this.#longs;
    longs[6] = this.#putInts(rows.sequence, rows.count);
    longs[7] = this.#putInts(rows.position, rows.count);
    longs[8] = this.#putInts(rows.visibleFrom, rows.count);
    longs[9] = this.#putLongs(call.weights);
    longs[10] = this.#putLongs(call.carry);
    longs[11] = this.#putLongs(call.ropes);
    longs[12] = this.#putTables(call.states);
    longs[13] = call.workspace;
    return this.#address;
  }

  dispose(): void {
    this.#buffer?.dispose();
    this.#buffer = undefined;
  }

  #part(at: number, part: Part | undefined): void {
    this.#ints[at] = part?.from ?? 0;
    this.#ints[at + 1] = part?.to ?? 0;
    this.#ints[at + 2] = part?.slice?.from ?? NONE;
    this.#ints[at + 3] = part?.slice?.to ?? NONE;
  }

  #putInts(array: Int32Array, count: number): bigint {
    const at = this.#used;
    this.#ints.set(count === array.length ? array : array.subarray(0, count), 2 * at);
    this.#used += Math.ceil(count / 2);
    return this.#addressOf(at);
  }

  #putLongs(array: ArrayLike<bigint>): bigint {
    const at = this.#used;
    this.#longs.set(array, at);
    this.#used += array.length;
    return this.#addressOf(at);
  }

  /** Pairs {address of the block addresses, their count}, behind the block addresses. */
  #putTables(states: NativeCall['states']): bigint {
    const pairs: bigint[] = [];
    for (const tables of states) for (const table of tables) pairs.push(this.#putLongs(table), BigInt(table.length));
    return this.#putLongs(pairs);
  }

  #addressOf(long: number): bigint {
    return this.#address + BigInt(8 * long);
  }

  #reserve(byteLength: number): void {
    if (this.#buffer !== undefined && this.#buffer.byteLength >= byteLength) return;
    this.#buffer?.dispose();
    const buffer = HostBuffer.allocate(Math.max(16384, 2 * byteLength), { label: 'native call' });
    const { buffer: memory, byteOffset, byteLength: length } = buffer.bytes();
    this.#buffer = buffer;
    this.#address = buffer.address;
    this.#ints = new Int32Array(memory, byteOffset, Math.floor(length / 4));
    this.#longs = new BigUint64Array(memory, byteOffset, Math.floor(length / 8));
  }
}

function frameBytes({ rows, weights, carry, ropes, states }: NativeCall): number {
  let longs = 3 * Math.ceil(rows.count / 2) + weights.length + carry.length + ropes.length;
  for (const tables of states) for (const table of tables) longs += 2 + table.length;
  return RUN_BYTES + 8 * longs;
}
