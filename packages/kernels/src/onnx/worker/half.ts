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

/** Beside a float16's bits in the table: the number is too large for it, or large enough to say what a matrix holds. */
const TOO_LARGE = 1 << 16;
const LARGE_ENOUGH = 1 << 17;

let fromBf16: Uint32Array | undefined;

/** bf16 as float16, or undefined where float16 would not keep it: numbers too large, or all of them very small. */
export function bf16ToHalf(stored: Uint16Array<ArrayBuffer>): Uint16Array<ArrayBuffer> | undefined {
  fromBf16 ??= Uint32Array.from({ length: 2 ** 16 }, (_, pattern) => bf16Entry(pattern));
  const table = fromBf16;
  const halves = new Uint16Array(stored.length);
  const pairs = stored.length >> 1;
  const from = new Uint32Array(stored.buffer, stored.byteOffset, pairs);
  const to = new Uint32Array(halves.buffer, 0, pairs);
  let flags = 0;
  for (let i = 0; i < pairs; i++) {
    const pair = from[i]!;
    const low = table[pair & 0xffff]!;
    const high = table[pair >>> 16]!;
    flags |= low | high;
    to[i] = (low & 0xffff) | (high << 16);
  }
  if (stored.length % 2 === 1) {
    const last = table[stored.at(-1)!]!;
    flags |= last;
    halves[stored.length - 1] = last;
  }
  if ((flags & TOO_LARGE) !== 0) return undefined;
  const zeros = (flags & 0x7fff) === 0;
  return zeros || (flags & LARGE_ENOUGH) !== 0 ? halves : undefined;
}

function bf16Entry(pattern: number): number {
  bits[0] = pattern << 16;
  const magnitude = Math.abs(floats[0]!);
  const flag = !(magnitude <= LARGEST) ? TOO_LARGE : magnitude >= SMALLEST_LARGEST ? LARGE_ENOUGH : 0;
  return toHalf(floats[0]!) | flag;
}

/** The same of float32 numbers that have no more digits than a quantised weight. */
export function floatsToHalf(values: Float32Array): Uint16Array<ArrayBuffer> | undefined {
  let largest = 0;
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    // Math.max keeps NaN, which float16 would keep too, but nothing should go on quietly.
    largest = Math.max(largest, Math.abs(values[i]!));
    halves[i] = toHalf(values[i]!);
  }
  return keeps(largest) ? halves : undefined;
}

function keeps(largest: number): boolean {
  return largest === 0 || (largest <= LARGEST && largest >= SMALLEST_LARGEST);
}
