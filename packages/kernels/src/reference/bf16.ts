/** A copy whose values are those of bf16: the nearest, of two equally near the even one. */
export function roundedToBf16(values: Float32Array): Float32Array {
  const rounded = values.slice();
  const bits = new Uint32Array(rounded.buffer);
  for (let i = 0; i < bits.length; i++) {
    // Adding to the bits of a NaN could make it infinite.
    if (Number.isNaN(rounded[i])) continue;
    const pattern = bits[i]!;
    bits[i] = (pattern + 0x7fff + ((pattern >>> 16) & 1)) & 0xffff0000;
  }
  return rounded;
}
