import { decodeToFloat32 } from '@airllm/loader';

// The numbers that codes stand for, in the formats that the field has agreed upon.

const BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);

/** FP4 of the OCP microscaling formats: 0 to 6 by 1 sign, 2 exponent and 1 fraction bits. */
export const E2M1: readonly number[] = Array.from(BYTES.subarray(0, 16), (code) => {
  return decodeToFloat32('F4', Uint8Array.of(code), 1)[0]!;
});

/** FP8 with 4 exponent and 3 fraction bits, `e4m3fn`: no infinities, ±448 at most, NaN at 0x7f and 0xff. */
export const E4M3: Float32Array = decodeToFloat32('F8_E4M3', BYTES, 256);

/** Powers of two: byte b is 2^(b − 127), 255 is NaN. */
export const E8M0: Float32Array = decodeToFloat32('F8_E8M0', BYTES, 256);

/** Bytes as unsigned numbers. */
export const UNSIGNED: Float32Array = Float32Array.from({ length: 256 }, (_, b) => b);

/** Bytes as signed numbers. */
export const SIGNED: Float32Array = Float32Array.from({ length: 256 }, (_, b) => (b < 128 ? b : b - 256));
