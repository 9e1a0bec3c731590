/** Little-endian floats at any address, as float32: for as many of them as there are weights. */
export function manyFloats(dtype: 'F32' | 'F16' | 'BF16', bytes: Uint8Array): Float32Array {
  const own = bytes.slice().buffer;
  if (dtype === 'F32') return new Float32Array(own);
  const halves = new Uint16Array(own);
  const bits = new Uint32Array(halves.length);
  const numbers = new Float32Array(bits.buffer);
  if (dtype === 'BF16') {
    for (let i = 0; i < bits.length; i++) bits[i] = halves[i]! << 16;
    return numbers;
  }
  for (let i = 0; i < bits.length; i++) {
    const half = halves[i]!;
    // The exponent of infinities and NaN is the largest of float32, too; others are 112 too small.
    const exponent = (half & 0x7c00) === 0x7c00 ? 0x7f800000 : 0;
    bits[i] = ((half & 0x8000) << 16) | ((half & 0x7fff) << 13) | exponent;
  }
  for (let i = 0; i < bits.length; i++) numbers[i]! *= 2 ** 112;
  return numbers;
}
