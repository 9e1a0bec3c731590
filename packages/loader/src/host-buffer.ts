import { AllocationError, DisposedError, isMarked, mark, OptionError } from './errors';
import { alignDown, alignUp, BLOCK } from './extent';
import { foreignAvailable, MAX_VIEW_BYTES, viewMemory } from './foreign';
import { type PageAllocator, pageAllocator, wholePages } from './memory';

/** A claim on a buffer's memory by somebody who holds only its address: a native call, a read in flight. */
export interface Lease {
  /** Idempotent. */
  release(): void;
  [Symbol.dispose](): void;
}

/** What {@link HostBuffer.allocate} takes beside the size. */
export interface HostBufferOptions {
  /** Says in errors what the memory was for. */
  label?: string | undefined;
}

let allocated = 0;

/** Unmaps a disposed buffer's addresses once no view of it can be reached any more. */
const orphans = new FinalizationRegistry<Pages>((pages) => pages.viewGone());

/**
 * Page-aligned memory outside the JavaScript heap: the target of direct I/O and what native kernels compute on.
 *
 * Memory is given back by `dispose()`, never by garbage collection; with leases open that waits for the last one.
 * Views handed out earlier must not be used afterwards: they cannot be revoked, and read zeros.
 *
 * Without the foreign function interface it is a SharedArrayBuffer: `native` is false and `address` is `0n`.
 */
export class HostBuffer {
  readonly byteLength: number;
  readonly native: boolean;
  readonly label: string;
  #memory: Pages | Shared;
  #leases = 0;
  #state: 'open' | 'closing' | 'disposed' = 'open';

  private constructor(byteLength: number, label: string, memory: Pages | Shared) {
    mark(this, 'HostBuffer');
    this.byteLength = byteLength;
    this.label = label;
    this.native = memory instanceof Pages;
    this.#memory = memory;
    allocated += memory.held;
  }

  /** Zeroed memory. Throws `AllocationError` if the system has none to give. */
  static allocate(byteLength: number, options: HostBufferOptions = {}): HostBuffer {
    if (!Number.isSafeInteger(byteLength) || byteLength < 0) {
      throw new OptionError({ option: 'byteLength', expected: 'a whole number of at least 0', found: byteLength });
    }
    const label = options.label ?? 'host buffer';
    try {
      const memory = foreignAvailable() ? new Pages(pageAllocator(), wholePages(byteLength)) : new Shared(byteLength);
      return new HostBuffer(byteLength, label, memory);
    } catch (cause) {
      throw new AllocationError({ byteLength, label, reason: (cause as Error).message, cause });
    }
  }

  /**
   * Pages that are not the process's own, a file's: they do not count as held.
   * @internal
   */
  static over(pages: PageAllocator, byteLength: number, label: string): HostBuffer {
    return new HostBuffer(byteLength, label, new Pages(pages, byteLength, 0));
  }

  static isInstance(value: unknown): value is HostBuffer {
    return isMarked(value, 'HostBuffer');
  }

  /** Bytes now held by all buffers of this copy of the package, in whole pages. */
  static total(): number {
    return allocated;
  }

  /** Of the first byte; a multiple of 4096. `0n` if not native. Throws `DisposedError`. */
  get address(): bigint {
    this.#check();
    return this.#memory.address;
  }

  /**
   * The address for holders of a lease, who may still use it after `dispose()`.
   * @internal
   */
  get leasedAddress(): bigint {
    if (this.#state === 'disposed') throw new DisposedError(this.label);
    return this.#memory.address;
  }

  /** True from `dispose()` on, also while leases still hold the memory. */
  get disposed(): boolean {
    return this.#state !== 'open';
  }

  /** A view, uncopied, of at most 1 GiB. Throws `DisposedError`, and `RangeError` outside the buffer. */
  bytes(offset = 0, length: number = this.byteLength - offset): Uint8Array {
    this.#check();
    this.#checkRange(offset, length);
    const { buffer, start } = this.#memory.window(offset, length);
    return new Uint8Array(buffer, start, length);
  }

  /** A view of `length` floats, uncopied. `byteOffset` must be a multiple of 4. */
  float32(byteOffset: number, length: number): Float32Array {
    this.#check();
    this.#checkRange(byteOffset, length * 4);
    if (byteOffset % 4 !== 0) throw new RangeError(`${this.label}: byte offset ${byteOffset} is not a multiple of 4`);
    const { buffer, start } = this.#memory.window(byteOffset, length * 4);
    return new Float32Array(buffer, start, length);
  }

  /** Holds the memory past `dispose()` until released. Throws `DisposedError`. */
  lease(): Lease {
    this.#check();
    this.#leases++;
    let open = true;
    const release = () => {
      if (!open) return;
      open = false;
      this.#leases--;
      if (this.#state === 'closing' && this.#leases === 0) this.#free();
    };
    return { release, [Symbol.dispose]: release };
  }

  /**
   * Gives the whole pages within a range back to the system: they are zeros, and take no memory until they are written
   * again. Nobody may be using them. Throws `DisposedError`, and `RangeError` outside the buffer.
   */
  discard(offset: number, length: number): void {
    this.#check();
    this.#checkRange(offset, length);
    this.#memory.discard(offset, length);
  }

  /**
   * For the reader threads: a SharedArrayBuffer they can be given. Undefined if native.
   * @internal
   */
  get shared(): { readonly buffer: SharedArrayBuffer; readonly start: number } | undefined {
    return this.#memory instanceof Shared ? this.#memory : undefined;
  }

  /** Idempotent; deferred while leases are open. */
  dispose(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    if (this.#leases === 0) this.#free();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #free(): void {
    this.#state = 'disposed';
    allocated -= this.#memory.held;
    this.#memory.dispose();
  }

  #check(): void {
    if (this.#state !== 'open') throw new DisposedError(this.label);
  }

  #checkRange(offset: number, length: number): void {
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
      throw new RangeError(`${this.label}: offset ${offset} and length ${length} must be whole numbers of at least 0`);
    }
    if (offset + length > this.byteLength) {
      throw new RangeError(`${this.label}: bytes ${offset} to ${offset + length} of ${this.byteLength}`);
    }
  }
}

interface Window {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  /** Of the wanted byte within `buffer`. */
  readonly start: number;
}

class Pages {
  #views = 0;
  #disposed = false;
  #whole: WeakRef<ArrayBuffer> | undefined;
  readonly address: bigint;

  constructor(
    readonly allocator: PageAllocator,
    readonly byteLength: number,
    readonly held = byteLength,
  ) {
    this.address = allocator.allocate(byteLength);
  }

  window(offset: number, length: number): Window {
    if (this.byteLength > MAX_VIEW_BYTES) {
      return { buffer: this.#view(offset, length), start: 0 };
    }
    let whole = this.#whole?.deref();
    if (whole === undefined) {
      whole = this.#view(0, this.byteLength);
      this.#whole = new WeakRef(whole);
    }
    return { buffer: whole, start: offset };
  }

  discard(offset: number, length: number): void {
    const start = alignUp(offset, BLOCK);
    const end = alignDown(offset + length, BLOCK);
    if (end > start) this.allocator.discard(this.address + BigInt(start), end - start);
  }

  #view(offset: number, length: number): ArrayBuffer {
    const view = viewMemory(this.address + BigInt(offset), length);
    this.#views++;
    orphans.register(view, this);
    return view;
  }

  viewGone(): void {
    this.#views--;
    if (this.#disposed && this.#views === 0) this.allocator.free(this.address, this.byteLength);
  }

  /** A stale view must not crash the host, so the addresses stay until the last view has been collected. */
  dispose(): void {
    this.#disposed = true;
    if (this.#views === 0) this.allocator.free(this.address, this.byteLength);
    else this.allocator.discard(this.address, this.byteLength);
  }
}

class Shared {
  readonly address = 0n;
  readonly start = 0;
  readonly held: number;
  #buffer: SharedArrayBuffer | undefined;

  constructor(readonly byteLength: number) {
    this.held = byteLength;
    this.#buffer = new SharedArrayBuffer(byteLength);
  }

  get buffer(): SharedArrayBuffer {
    return this.#buffer!;
  }

  window(offset: number, _length: number): Window {
    return { buffer: this.buffer, start: offset };
  }

  discard(offset: number, length: number): void {
    new Uint8Array(this.buffer, offset, length).fill(0);
  }

  dispose(): void {
    this.#buffer = undefined;
  }
}
