/** Beyond the largest float16 a number cannot be kept; below 2⁻¹⁰ the largest of a matrix would lose bits. */
const LARGEST = 65504;
const SMALLEST_LARGEST = 2 ** -10;

/** Whether float16 keeps numbers of which this is the largest magnitude; infinity stands for NaN too. */
export function fitsHalf(largest: number): boolean {
  return largest === 0 || (largest <= LARGEST && largest >= SMALLEST_LARGEST);
}

const floats = new Float32Array(1);
const bits = new Uint32Array(floats.buffer);

/** A float32, by its bits, rounded to float16 (to nearest even), as its bits. NaN stays NaN, with what it has room for. */
export function toHalf(all: number): number {
  const sign = (all >>> 16) & 0x8000;
  const rest = all & 0x7fffffff;
  if (rest > 0x7f800000) return sign | 0x7e00 | ((rest >>> 13) & 0x1ff);
  if (rest >= 0x477ff000) return sign | 0x7c00;
  if (rest >= 0x38800000) {
    const rounded = rest + 0xfff + ((rest >>> 13) & 1);
    return sign | ((rounded - 0x38000000) >>> 13);
  }
  // Subnormal: multiples of 2⁻²⁴.
  bits[0] = rest;
  const units = floats[0]! * 2 ** 24;
  const down = Math.floor(units);
  const over = units - down;
  return sign | (over > 0.5 || (over === 0.5 && down % 2 === 1) ? down + 1 : down);
}

let fromBf16: Uint16Array | undefined;

/** bf16 as float16; the largest magnitude. */
export function bf16ToHalf(stored: Uint16Array, halves: Uint16Array): number {
  fromBf16 ??= Uint16Array.from({ length: 2 ** 16 }, (_, pattern) => toHalf((pattern << 16) >>> 0));
  const table = fromBf16;
  let most = 0;
  for (let i = 0; i < stored.length; i++) {
    const pattern = stored[i]!;
    const magnitude = pattern & 0x7fff;
    if (magnitude > most) most = magnitude;
    halves[i] = table[pattern]!;
  }
  return largest(most << 16);
}

/** float32 as float16; the largest magnitude. */
export function floatsToHalf(values: Float32Array, halves: Uint16Array): number {
  const stored = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let most = 0;
  for (let i = 0; i < stored.length; i++) {
    const magnitude = stored[i]! & 0x7fffffff;
    if (magnitude > most) most = magnitude;
    halves[i] = toHalf(stored[i]!);
  }
  return largest(most);
}

/** Of what was seen of NaN nothing is known but that it does not fit. */
function largest(magnitude: number): number {
  bits[0] = magnitude;
  return Number.isNaN(floats[0]!) ? Number.POSITIVE_INFINITY : floats[0]!;
}
