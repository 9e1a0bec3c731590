import { decodeElements, decodeToFloat32, type ElementArray } from './decode';
import type { DType } from './dtype';
import { elementCount, tensorBytes } from './dtype';
import { isMarked, mark } from './errors';
import type { HostBuffer } from './host-buffer';

/** What a {@link HostTensor} is made of. */
export interface HostTensorFields {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly buffer: HostBuffer;
  /** Of the tensor's first byte within `buffer`. */
  readonly byteOffset: number;
  /** Whether disposing the tensor disposes the buffer. Default: false. */
  readonly ownsBuffer?: boolean | undefined;
}

/** A tensor with bytes, row-major and little-endian, in a host buffer. */
export class HostTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly device = 'host';
  readonly buffer: HostBuffer;
  readonly byteOffset: number;
  readonly byteLength: number;
  readonly elementCount: number;
  readonly ownsBuffer: boolean;

  constructor(fields: HostTensorFields) {
    mark(this, 'HostTensor');
    this.name = fields.name;
    this.dtype = fields.dtype;
    this.shape = fields.shape;
    this.buffer = fields.buffer;
    this.byteOffset = fields.byteOffset;
    this.byteLength = tensorBytes(fields.dtype, fields.shape);
    this.elementCount = elementCount(fields.shape);
    this.ownsBuffer = fields.ownsBuffer ?? false;
  }

  static isInstance(value: unknown): value is HostTensor {
    return isMarked(value, 'HostTensor');
  }

  /** A view of the stored bytes, uncopied. Throws `DisposedError`. */
  bytes(): Uint8Array {
    return this.buffer.bytes(this.byteOffset, this.byteLength);
  }

  /** A copy as float32, whatever the dtype; F64 and integers are rounded. C64 gives re, im, re, im, … */
  toFloat32(): Float32Array {
    return decodeToFloat32(this.dtype, this.bytes(), this.elementCount);
  }

  /** A copy of the exact values: integers in their own type, floats of up to 32 bits as float32. */
  toElements(): ElementArray {
    return decodeElements(this.dtype, this.bytes(), this.elementCount);
  }

  /** Disposes the buffer if the tensor owns it. */
  dispose(): void {
    if (this.ownsBuffer) this.buffer.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
