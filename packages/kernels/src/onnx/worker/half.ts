/** Beyond the largest float16 a number cannot be kept; below 2⁻¹⁰ the largest of a matrix would lose bits. */
const LARGEST = 65504;
const SMALLEST_LARGEST = 2 ** -10;

const floats = new Float32Array(1);
const bits = new Uint32Array(floats.buffer);

/** A float32 rounded to float16 (to nearest even), as its bits. */
export function toHalf(x: number): number {
  floats[0] = x;
  const all = bits[0]!;
  const sign = (all >>> 16) & 0x8000;
  const rest = all & 0x7fffffff;
  if (rest > 0x7f800000) return sign | 0x7e00;
  if (rest >= 0x477ff000) return sign | 0x7c00;
  if (rest >= 0x38800000) {
    const rounded = rest + 0xfff + ((rest >>> 13) & 1);
    return sign | ((rounded - 0x38000000) >>> 13);
  }
  // Subnormal: multiples of 2⁻²⁴.
  const units = Math.abs(x) * 2 ** 24;
  const down = Math.floor(units);
  const over = units - down;
  return sign | (over > 0.5 || (over === 0.5 && down % 2 === 1) ? down + 1 : down);
}

let fromBf16: Uint16Array | undefined;

/** bf16 as float16, or undefined where float16 would not keep it: numbers too large, or all of them very small. */
export function bf16ToHalf(stored: Uint16Array): Uint16Array<ArrayBuffer> | undefined {
  fromBf16 ??= Uint16Array.from({ length: 2 ** 16 }, (_, pattern) => {
    bits[0] = pattern << 16;
    return toHalf(floats[0]!);
  });
  let largest = 0;
  const halves = new Uint16Array(stored.length);
  for (let i = 0; i < stored.length; i++) {
    const pattern = stored[i]!;
    const magnitude = pattern & 0x7fff;
    if (magnitude > largest) largest = magnitude;
    halves[i] = fromBf16[pattern]!;
  }
  bits[0] = largest << 16;
  return keeps(floats[0]!) ? halves : undefined;
}

/** The same of float32 numbers that have no more digits than a quantised weight. */
export function floatsToHalf(values: Float32Array): Uint16Array<ArrayBuffer> | undefined {
  let largest = 0;
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (!(magnitude <= largest)) largest = magnitude;
    halves[i] = toHalf(values[i]!);
  }
  return keeps(largest) ? halves : undefined;
}

function keeps(largest: number): boolean {
  return largest === 0 || (largest <= LARGEST && largest >= SMALLEST_LARGEST);
}
