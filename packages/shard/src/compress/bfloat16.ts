const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** To nearest, ties to even. Not for NaN. */
export function toBfloat16(value: number): number {
  float[0] = value;
  const x = bits[0]!;
  bits[0] = (x + 0x7fff + ((x >>> 16) & 1)) & 0xffff0000;
  return float[0]!;
}

/** The 16 bits of a number that is a bfloat16. */
export function bfloat16Bits(value: number): number {
  float[0] = value;
  return bits[0]! >>> 16;
}
