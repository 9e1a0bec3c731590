/** The numbers that codes stand for, in the formats that the field has agreed upon. */

/** FP4 of the OCP microscaling formats: 0 to 6 by 1 sign, 2 exponent and 1 fraction bits. */
export const E2M1: readonly number[] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

/** FP8 with 4 exponent and 3 fraction bits, `e4m3fn`: no infinities, ±448 at most, NaN at 0x7f and 0xff. */
export const E4M3: Float32Array = Float32Array.from({ length: 256 }, (_, bits) => {
  const sign = bits & 0x80 ? -1 : 1;
  const exponent = (bits >> 3) & 15;
  const fraction = bits & 7;
  if (exponent === 15 && fraction === 7) return Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -9 : sign * (8 + fraction) * 2 ** (exponent - 10);
});

/** Powers of two: byte b is 2^(b − 127), 255 is NaN. */
export const E8M0: Float32Array = Float32Array.from({ length: 256 }, (_, b) =>
  b === 255 ? Number.NaN : 2 ** (b - 127),
);

/** Bytes as unsigned numbers. */
export const UNSIGNED: Float32Array = Float32Array.from({ length: 256 }, (_, b) => b);

/** Bytes as signed numbers. */
export const SIGNED: Float32Array = Float32Array.from({ length: 256 }, (_, b) => (b < 128 ? b : b - 256));
