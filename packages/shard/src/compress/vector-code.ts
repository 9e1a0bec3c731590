import {
  add,
  addF32,
  and,
  type Code,
  get,
  greater,
  greatest,
  i32,
  lane,
  least,
  loadSplat,
  mul,
  narrow16to8,
  narrow32to16,
  nearest,
  or,
  set,
  shiftRight16,
  splat,
  splatI16,
  store,
} from './assemble';
import { BLOCK } from './kinds';

// Instructions for blocks of 64 numbers, which the functions of vector-kernels.ts are put together from.

/** Bytes of a vector. */
export const VECTOR = 16;
/** Bytes from a block's start to each of its vectors. */
export const STEPS = Array.from({ length: BLOCK / 4 }, (_, i) => i * VECTOR);

/** Of a table: 15 middles between neighbours, the lowest number, 15 steps from each to the next. */
export const MIDDLES = Array.from({ length: 15 }, (_, i) => 4 * i);
const LOWEST = 60;

/** Sums over a block: `term` of the bytes from its start. Four sums at a time, which need not wait for each other. */
export function sumOver(accumulators: number, term: (at: number) => Code): Code {
  return [...STEPS.flatMap((at) => accumulate(accumulators, at, term(at))), ...total(accumulators)];
}

/** Of the four sums' lanes. */
export function total(accumulators: number): Code {
  const [a, b, c, d] = [0, 1, 2, 3].map((i) => get(accumulators + i)) as [Code, Code, Code, Code];
  const lanes = (index: number) => lane(get(accumulators), index);
  return [
    ...set(accumulators, add(add(a, b), add(c, d))),
    ...addF32(addF32(lanes(0), lanes(1)), addF32(lanes(2), lanes(3))),
  ];
}

/** Of each lane. */
export const square = (local: number): Code => mul(get(local), get(local));

/** Adds to one of four sums. */
export function accumulate(accumulators: number, at: number, term: Code): Code {
  const sum = accumulators + ((at / VECTOR) % 4);
  return set(sum, add(get(sum), term));
}

export function clampedCode(value: Code, low: Code, high: Code): Code {
  return least(greatest(nearest(value), splat(low)), splat(high));
}

/** Four times four 32-bit codes at a time become 16 bytes. The operand stack keeps them in order. */
export function bytesOf(result: number, codes: (at: number) => Code): Code {
  return [0, 1, 2, 3].flatMap((quarter) => {
    const [a, b, c, d] = [0, 1, 2, 3].map((i) => codes((quarter * 4 + i) * VECTOR)) as [Code, Code, Code, Code];
    return store(get(result), quarter * VECTOR, narrow16to8(narrow32to16(a, b), narrow32to16(c, d)));
  });
}

/** Sets `into` to the number of the table that is nearest to a local. */
export function nearestNumber(table: number, value: number, into: number): Code {
  const steps = MIDDLES.flatMap((middle) =>
    set(
      into,
      add(
        get(into),
        and(greater(get(value), loadSplat(get(table), middle)), loadSplat(get(table), LOWEST + 4 + middle)),
      ),
    ),
  );
  return [...set(into, loadSplat(get(table), LOWEST)), ...steps];
}

/** Of 16-bit lanes with one code in each byte: both in the low byte. */
export function joinedHalves(local: number): Code {
  return and(or(get(local), shiftRight16(get(local), 4)), splatI16(i32(255)));
}
