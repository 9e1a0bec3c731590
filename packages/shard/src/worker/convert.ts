import type { DType } from '@airllm/loader';

/** Elements converted at a time: their two copies stay in the cache. */
const BLOCK_ELEMENTS = 64 * 1024;

/** The first element whose finite value the target dtype cannot hold. */
export interface Overflow {
  /** Counted from the start of the input given. */
  readonly index: number;
  readonly value: number;
}

/**
 * Converts little-endian F32, F16 and BF16 into each other, rounding to nearest, ties to even. Infinities and NaN stay
 * what they are; a finite value that would become infinite is an overflow, which ends the conversion.
 */
export class FloatConverter {
  readonly #from: DType;
  readonly #to: DType;
  readonly #floats = new Float32Array(BLOCK_ELEMENTS);
  readonly #bits = new Uint32Array(this.#floats.buffer);
  readonly #halves = new Uint16Array(BLOCK_ELEMENTS);
  readonly #floatBytes = new Uint8Array(this.#floats.buffer);
  readonly #halfBytes = new Uint8Array(this.#halves.buffer);

  constructor(from: DType, to: DType) {
    this.#from = from;
    this.#to = to;
  }

  /** `input` holds whole elements at any address; `emit` gets bytes that are valid during the call. */
  convert(input: Uint8Array, emit: (bytes: Uint8Array) => void): Overflow | undefined {
    const width = this.#from === 'F32' ? 4 : 2;
    const count = input.length / width;
    for (let start = 0; start < count; start += BLOCK_ELEMENTS) {
      const n = Math.min(BLOCK_ELEMENTS, count - start);
      this.#decode(input.subarray(start * width, (start + n) * width), n);
      const overflow = this.#encode(n);
      if (overflow >= 0) return { index: start + overflow, value: this.#floats[overflow]! };
      emit(this.#to === 'F32' ? this.#floatBytes.subarray(0, n * 4) : this.#halfBytes.subarray(0, n * 2));
    }
    return undefined;
  }

  #decode(bytes: Uint8Array, n: number): void {
    if (this.#from === 'F32') {
      this.#floatBytes.set(bytes);
      return;
    }
    this.#halfBytes.set(bytes);
    if (this.#from === 'BF16') for (let i = 0; i < n; i++) this.#bits[i] = this.#halves[i]! << 16;
    else for (let i = 0; i < n; i++) this.#bits[i] = halfToFloatBits(this.#halves[i]!);
  }

  /** Index of the first overflow, or -1. */
  #encode(n: number): number {
    if (this.#to === 'F32') return -1;
    return this.#to === 'BF16'
      ? encodeBfloat16(this.#bits, this.#halves, n)
      : encodeFloat16(this.#bits, this.#halves, n);
  }
}

function encodeBfloat16(bits: Uint32Array, out: Uint16Array, n: number): number {
  for (let i = 0; i < n; i++) {
    const x = bits[i]!;
    const magnitude = x & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      // NaN: keep sign and payload, and one bit that rounding cannot clear.
      out[i] = (x >>> 16) | 0x40;
      continue;
    }
    // 0x7fff plus the last kept bit rounds ties to even; a carry into the exponent is the right result.
    const rounded = (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
    if ((rounded & 0x7fff) === 0x7f80 && magnitude !== 0x7f800000) return i;
    out[i] = rounded;
  }
  return -1;
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

function encodeFloat16(bits: Uint32Array, out: Uint16Array, n: number): number {
  for (let i = 0; i < n; i++) {
    const x = bits[i]!;
    const sign = (x >>> 16) & 0x8000;
    const magnitude = x & 0x7fffffff;
    if (magnitude >= 0x7f800000) {
      out[i] = sign | (magnitude === 0x7f800000 ? 0x7c00 : 0x7e00 | ((magnitude >>> 13) & 0x1ff));
    } else if (magnitude >= 0x477ff000) {
      // 65520, halfway between the largest float16 (65504) and what would follow, rounds up.
      return i;
    } else if (magnitude >= 0x38800000) {
      // Normal: the exponent moves from bias 127 to 15, ties to even as above.
      out[i] = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    } else {
      // Below 2^-14 float16 counts in steps of 2^-24, and so do floats from 0.5 to 1: adding 0.5 rounds.
      floatBits[0] = magnitude;
      float[0] = float[0]! + 0.5;
      out[i] = sign | (floatBits[0]! - 0x3f000000);
    }
  }
  return -1;
}

function halfToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  float[0] = mantissa * 2 ** -24;
  return sign | floatBits[0]!;
}
