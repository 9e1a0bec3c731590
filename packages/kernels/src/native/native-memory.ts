import { HostBuffer } from '@airllm/loader';

/** Most is small; larger only with many rows or long states. */
const LEAST_BYTES = 16384;

/**
 * Native memory into which numbers are written one array after the other, from the start again for each call. Written in
 * place: a pass of one row makes calls within hundredths of a second. All platforms with a native library are
 * little-endian.
 */
export class NativeMemory {
  #buffer: HostBuffer | undefined;
  #address = 0n;
  #ints: Int32Array = new Int32Array(0);
  #longs: BigUint64Array = new BigUint64Array(0);
  /** Longs that are in use. */
  #used = 0;

  /** The memory as numbers of 32 and of 64 bits. */
  get ints(): Int32Array {
    return this.#ints;
  }

  get longs(): BigUint64Array {
    return this.#longs;
  }

  /** Starts anew with room for so many longs. What was written before is gone, and may have another address. */
  begin(longs: number): void {
    this.#used = 0;
    if (this.#longs.length >= longs) return;
    this.#buffer?.dispose();
    const buffer = HostBuffer.allocate(Math.max(LEAST_BYTES, 16 * longs), { label: 'native call' });
    const { buffer: memory, byteOffset, byteLength } = buffer.bytes();
    this.#buffer = buffer;
    this.#address = buffer.address;
    this.#ints = new Int32Array(memory, byteOffset, Math.floor(byteLength / 4));
    this.#longs = new BigUint64Array(memory, byteOffset, Math.floor(byteLength / 8));
  }

  /** Takes room for `count` longs and returns the index of the first. */
  take(count: number): number {
    const at = this.#used;
    this.#used += count;
    return at;
  }

  /** Writes the first `count` numbers and returns their address. */
  putInts(array: Int32Array, count: number): bigint {
    const at = this.take(Math.ceil(count / 2));
    this.#ints.set(count === array.length ? array : array.subarray(0, count), 2 * at);
    return this.addressOf(at);
  }

  putLongs(array: ArrayLike<bigint>): bigint {
    const at = this.take(array.length);
    this.#longs.set(array, at);
    return this.addressOf(at);
  }

  addressOf(long: number): bigint {
    return this.#address + BigInt(8 * long);
  }

  dispose(): void {
    this.#buffer?.dispose();
    this.#buffer = undefined;
    this.#longs = new BigUint64Array(0);
    this.#ints = new Int32Array(0);
  }
}
