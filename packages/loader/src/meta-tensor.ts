import type { DType } from './dtype';
import { elementCount, tensorBytes } from './dtype';
import { isMarked, MissingTensorError, mark, OptionError } from './errors';
import type { Extent } from './extent';
import { HostBuffer } from './host-buffer';
import { HostTensor } from './host-tensor';
import type { Reader } from './reader';
import { withSharedReader } from './readers/shared-reader';

/** What a {@link MetaTensor} is made of. */
export interface MetaTensorFields {
  readonly name: string;
  readonly dtype: DType;
  /** Outermost dimension first; `[]` is a scalar. */
  readonly shape: readonly number[];
  /** Where the bytes lie, if anywhere. */
  readonly extent?: Extent | undefined;
  /** The bytes themselves, for small tensors that were computed while a checkpoint was opened. */
  readonly literal?: Uint8Array | undefined;
}

/** Where and how {@link MetaTensor.materialize} brings the bytes. */
export interface MaterializeOptions {
  /** Read into this buffer instead of a new one; it stays the caller's. */
  into?: HostBuffer | undefined;
  /** Byte offset within `into` (default 0); a direct reader wants multiples of 4096. */
  at?: number | undefined;
  /** Default: a plain reader that is shared by such calls and closed soon after the last. */
  reader?: Reader | undefined;
  signal?: AbortSignal | undefined;
}

/** Name, dtype and shape of a tensor without its bytes: PyTorch's meta device. */
export class MetaTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly device = 'meta';
  /** `declare`, so that a tensor without one has no such key. */
  declare readonly extent?: Extent;
  declare readonly literal?: Uint8Array;
  readonly byteLength: number;
  readonly elementCount: number;

  /** Throws `OptionError` for an impossible shape. */
  constructor(fields: MetaTensorFields) {
    mark(this, 'MetaTensor');
    this.name = fields.name;
    this.dtype = fields.dtype;
    this.shape = fields.shape;
    if (fields.extent !== undefined) this.extent = fields.extent;
    this.byteLength = tensorBytes(fields.dtype, fields.shape);
    this.elementCount = elementCount(fields.shape);
    if (fields.literal !== undefined) this.literal = this.#literalOf(fields.literal);
  }

  static isInstance(value: unknown): value is MetaTensor {
    return isMarked(value, 'MetaTensor');
  }

  /**
   * Brings the bytes into a host buffer. Without `into`, disposing the result frees them.
   * Throws `MissingTensorError` if the tensor lies nowhere, `ReadError`, `DisposedError`, or the signal's reason.
   */
  async materialize(options: MaterializeOptions = {}): Promise<HostTensor> {
    const { extent, literal } = this;
    if (literal !== undefined) return this.#copy(literal, options);
    if (extent === undefined) {
      throw new MissingTensorError({
        tensor: this.name,
        reason: 'it has no bytes: the model was made from a configuration alone; open a checkpoint to read weights',
      });
    }
    if (options.reader !== undefined) return this.#read(extent, options.reader, options);
    return withSharedReader((reader) => this.#read(extent, reader, options));
  }

  #literalOf(bytes: Uint8Array): Uint8Array {
    if (bytes.length === this.byteLength) return bytes;
    throw new OptionError({
      option: 'literal',
      expected: `the ${this.byteLength} bytes of ${this.name}`,
      found: bytes.length,
    });
  }

  #copy(bytes: Uint8Array, options: MaterializeOptions): HostTensor {
    const owned = options.into === undefined;
    const byteOffset = options.at ?? 0;
    const length = byteOffset + bytes.length;
    const buffer = options.into ?? HostBuffer.allocate(Math.max(length, 1), { label: `tensor ${this.name}` });
    buffer.bytes(byteOffset, bytes.length).set(bytes);
    const { name, dtype, shape } = this;
    return new HostTensor({ name, dtype, shape, buffer, byteOffset, ownsBuffer: owned });
  }

  async #read(extent: Extent, reader: Reader, options: MaterializeOptions): Promise<HostTensor> {
    const owned = options.into === undefined;
    const at = options.at ?? 0;
    const buffer = options.into ?? HostBuffer.allocate(at + reader.span(extent), { label: `tensor ${this.name}` });
    try {
      const byteOffset = await reader.read(extent, buffer, at, { signal: options.signal });
      const { name, dtype, shape } = this;
      return new HostTensor({ name, dtype, shape, buffer, byteOffset, ownsBuffer: owned });
    } catch (error) {
      if (owned) buffer.dispose();
      throw error;
    }
  }
}
