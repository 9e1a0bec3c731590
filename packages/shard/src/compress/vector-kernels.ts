import {
  add,
  addF32,
  and,
  assemble,
  type Code,
  F32,
  type FunctionSpec,
  get,
  greater,
  I32,
  i32,
  lane,
  load,
  load16x4,
  loadSplat,
  max,
  min,
  mul,
  narrow16to8,
  narrow16to8u,
  narrow32to16,
  nearest,
  or,
  set,
  shiftLeft32,
  shiftRight16,
  splat,
  splatI16,
  sqrt,
  store,
  storeF32,
  sub,
  subI32,
  toI32,
  V128,
} from './assemble';
import { BLOCK } from './kinds';

const VECTOR = 16;
const STEPS = Array.from({ length: BLOCK / 4 }, (_, i) => i * VECTOR);

/** Of a table: 15 middles between neighbours, the lowest number, 15 steps from each to the next. */
const MIDDLES = Array.from({ length: 15 }, (_, i) => 4 * i);
const LOWEST = 60;

/** A sum over a block: `term` of the bytes from its start, in four lanes; then over the lanes. */
function sumOver(accumulator: number, term: (at: number) => Code): Code {
  const sums = STEPS.flatMap((at) => set(accumulator, add(get(accumulator), term(at))));
  return [...sums, ...acrossLanes(accumulator)];
}

function acrossLanes(local: number): Code {
  const [a, b, c, d] = [0, 1, 2, 3].map((index) => lane(get(local), index)) as [Code, Code, Code, Code];
  return addF32(addF32(a, b), addF32(c, d));
}

const square = (local: number): Code => mul(get(local), get(local));

/** Parameters are addresses (i32) and numbers (f32); a block is 64 float32 at an address. */
const FUNCTIONS: readonly FunctionSpec[] = [
  {
    // range(weights, result): its smallest and largest number, or 0 where none is below or above it; NaN if one is.
    name: 'range',
    parameters: [I32, I32],
    locals: [V128, V128],
    body: [
      ...STEPS.flatMap((at) => [...set(2, min(get(2), load(get(0), at))), ...set(3, max(get(3), load(get(0), at)))]),
      ...store(get(1), 0, get(2)),
      ...store(get(1), VECTOR, get(3)),
    ],
  },
  {
    // squares(weights, factor): Σ (weight · factor)²
    name: 'squares',
    parameters: [I32, F32],
    result: F32,
    locals: [V128, V128],
    body: sumOver(2, (at) => [...set(3, mul(load(get(0), at), splat(get(1)))), ...square(3)]),
  },
  {
    // importances(weights, factor, result): √(1 + (weight · factor)²)
    name: 'importances',
    parameters: [I32, F32, I32],
    locals: [V128],
    body: STEPS.flatMap((at) => [
      ...set(3, mul(load(get(0), at), splat(get(1)))),
      ...store(get(2), at, sqrt(add(splat([0x43, 0, 0, 0x80, 0x3f]), square(3)))),
    ]),
  },
  {
    // integerError(weights, importances, inverse, low, high): Σ importance · (code − weight · inverse)²
    name: 'integerError',
    parameters: [I32, I32, F32, F32, F32],
    result: F32,
    locals: [V128, V128, V128],
    body: sumOver(5, (at) => [
      ...set(6, mul(load(get(0), at), splat(get(2)))),
      ...set(7, sub(clampedCode(get(6), get(3), get(4)), get(6))),
      ...mul(load(get(1), at), square(7)),
    ]),
  },
  {
    // integerFit(weights, importances, inverse, low, high, result): Σ importance · code · weight · inverse, and
    // Σ importance · code²
    name: 'integerFit',
    parameters: [I32, I32, F32, F32, F32, I32],
    locals: [V128, V128, V128, V128, V128],
    body: [
      ...STEPS.flatMap((at) => [
        ...set(6, mul(load(get(0), at), splat(get(2)))),
        ...set(7, clampedCode(get(6), get(3), get(4))),
        ...set(8, mul(get(7), load(get(1), at))),
        ...set(9, add(get(9), mul(get(8), get(6)))),
        ...set(10, add(get(10), mul(get(8), get(7)))),
      ]),
      ...storeF32(get(5), 0, acrossLanes(9)),
      ...storeF32(get(5), 4, acrossLanes(10)),
    ],
  },
  {
    // integerCodes(weights, inverse, low, high, zero, result): 64 bytes of code + zero; Σ (code − weight · inverse)²
    name: 'integerCodes',
    parameters: [I32, F32, F32, F32, F32, I32],
    result: F32,
    locals: [V128, V128, V128, V128, V128],
    body: [
      ...bytesOf(5, (at) => [
        ...set(7, mul(load(get(0), at), splat(get(1)))),
        ...set(8, clampedCode(get(7), get(2), get(3))),
        ...set(9, sub(get(8), get(7))),
        ...set(6, add(get(6), square(9))),
        ...toI32(add(get(8), splat(get(4)))),
      ]),
      ...acrossLanes(6),
    ],
  },
  {
    // tableError(weights, importances, inverse, table): as integerError, for the nearest of 16 numbers
    name: 'tableError',
    parameters: [I32, I32, F32, I32],
    result: F32,
    locals: [V128, V128, V128],
    body: sumOver(4, (at) => [
      ...set(5, mul(load(get(0), at), splat(get(2)))),
      ...nearestNumber(3, 5, 6),
      ...set(6, sub(get(6), get(5))),
      ...mul(load(get(1), at), square(6)),
    ]),
  },
  {
    // tableFit(weights, importances, inverse, table, result): as integerFit
    name: 'tableFit',
    parameters: [I32, I32, F32, I32, I32],
    locals: [V128, V128, V128, V128, V128],
    body: [
      ...STEPS.flatMap((at) => [
        ...set(5, mul(load(get(0), at), splat(get(2)))),
        ...nearestNumber(3, 5, 6),
        ...set(7, mul(get(6), load(get(1), at))),
        ...set(8, add(get(8), mul(get(7), get(5)))),
        ...set(9, add(get(9), mul(get(7), get(6)))),
      ]),
      ...storeF32(get(4), 0, acrossLanes(8)),
      ...storeF32(get(4), 4, acrossLanes(9)),
    ],
  },
  {
    // tableCodes(weights, inverse, table, result): as integerCodes
    name: 'tableCodes',
    parameters: [I32, F32, I32, I32],
    result: F32,
    locals: [V128, V128, V128, V128],
    body: [
      ...bytesOf(3, (at) => [
        ...set(5, mul(load(get(0), at), splat(get(1)))),
        ...nearestNumber(2, 5, 6),
        ...set(6, sub(get(6), get(5))),
        ...set(4, add(get(4), square(6))),
        ...set(7, subI32(get(7), get(7))),
        ...MIDDLES.flatMap((middle) => set(7, subI32(get(7), greater(get(5), loadSplat(get(2), middle))))),
        ...get(7),
      ]),
      ...acrossLanes(4),
    ],
  },
  {
    // nibbles(codes, result): 64 bytes below 16 become 32, the even one in the low half
    name: 'nibbles',
    parameters: [I32, I32],
    locals: [V128, V128],
    body: [0, 1].flatMap((half) =>
      store(
        get(1),
        half * VECTOR,
        narrow16to8u(
          [...set(2, load(get(0), half * 2 * VECTOR)), ...joinedHalves(2)],
          [...set(3, load(get(0), (half * 2 + 1) * VECTOR)), ...joinedHalves(3)],
        ),
      ),
    ),
  },
  {
    // widen(bfloat16, result): 64 bfloat16 become float32
    name: 'widen',
    parameters: [I32, I32],
    body: STEPS.flatMap((at) => store(get(1), at, shiftLeft32(load16x4(get(0), at / 2), 16))),
  },
];

function clampedCode(value: Code, low: Code, high: Code): Code {
  return min(max(nearest(value), splat(low)), splat(high));
}

/** Four times four 32-bit codes at a time become 16 bytes. The operand stack keeps them in order. */
function bytesOf(result: number, codes: (at: number) => Code): Code {
  return [0, 1, 2, 3].flatMap((quarter) => {
    const [a, b, c, d] = [0, 1, 2, 3].map((i) => codes((quarter * 4 + i) * VECTOR)) as [Code, Code, Code, Code];
    return store(get(result), quarter * VECTOR, narrow16to8(narrow32to16(a, b), narrow32to16(c, d)));
  });
}

/** Sets `into` to the number of the table that is nearest to a local. */
function nearestNumber(table: number, value: number, into: number): Code {
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
function joinedHalves(local: number): Code {
  return and(or(get(local), shiftRight16(get(local), 4)), splatI16(i32(255)));
}

/** What {@link FUNCTIONS} are called as. Addresses are bytes in `memory`. */
export interface VectorKernels {
  readonly memory: { readonly buffer: ArrayBuffer };
  range(weights: number, result: number): void;
  squares(weights: number, factor: number): number;
  importances(weights: number, factor: number, result: number): void;
  integerError(weights: number, importances: number, inverse: number, low: number, high: number): number;
  integerFit(weights: number, importances: number, inverse: number, low: number, high: number, result: number): void;
  integerCodes(weights: number, inverse: number, low: number, high: number, zero: number, result: number): number;
  tableError(weights: number, importances: number, inverse: number, table: number): number;
  tableFit(weights: number, importances: number, inverse: number, table: number, result: number): void;
  tableCodes(weights: number, inverse: number, table: number, result: number): number;
  nibbles(codes: number, result: number): void;
  widen(bfloat16: number, result: number): void;
}

/** Float32 numbers in the order in which a table is read, from 16 rising ones. */
export function tableOf(numbers: Float32Array): Float32Array {
  const middles = Array.from({ length: 15 }, (_, i) => (numbers[i]! + numbers[i + 1]!) / 2);
  const steps = Array.from({ length: 15 }, (_, i) => numbers[i + 1]! - numbers[i]!);
  return Float32Array.from([...middles, numbers[0]!, ...steps]);
}

/** What Node has, and TypeScript's declarations for it do not. */
interface Wasm {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

/** Compiles them, in about a millisecond. */
export function vectorKernels(): VectorKernels {
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
  return new Instance(new Module(assemble(FUNCTIONS, 1))).exports as VectorKernels;
}
