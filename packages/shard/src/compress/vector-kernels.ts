import {
  add,
  assemble,
  F32,
  type FunctionSpec,
  get,
  greater,
  greatest,
  I32,
  least,
  load,
  load16x4,
  loadSplat,
  mul,
  narrow16to8u,
  set,
  shiftLeft32,
  splat,
  sqrt,
  store,
  storeF32,
  sub,
  subI32,
  toI32,
  V128,
} from './assemble';
import {
  accumulate,
  bytesOf,
  clampedCode,
  joinedHalves,
  MIDDLES,
  nearestNumber,
  STEPS,
  square,
  sumOver,
  total,
  VECTOR,
} from './vector-code';

// Parameters are addresses (i32) and numbers (f32); a block is 64 float32 at an address. Each is a function, put together
// when it is wanted: whoever only loads this package should not wait for it.

/**
 * range(weights, result): its smallest and largest numbers, or 0 where none is below or above it; returns Σ weight²,
 * which is not finite if one of them is not.
 */
const range = (): FunctionSpec => ({
  name: 'range',
  parameters: [I32, I32],
  result: F32,
  locals: Array(7).fill(V128),
  body: [
    ...STEPS.flatMap((at) => [
      ...set(2, load(get(0), at)),
      ...set(3, least(get(3), get(2))),
      ...set(4, greatest(get(4), get(2))),
    ]),
    ...store(get(1), 0, get(3)),
    ...store(get(1), VECTOR, get(4)),
    ...sumOver(5, (at) => mul(load(get(0), at), load(get(0), at))),
  ],
});

/** squares(weights, factor): Σ (weight · factor)² */
const squares = (): FunctionSpec => ({
  name: 'squares',
  parameters: [I32, F32],
  result: F32,
  locals: Array(5).fill(V128),
  body: sumOver(3, (at) => [...set(2, mul(load(get(0), at), splat(get(1)))), ...square(2)]),
});

/** importances(weights, factor, result): √(1 + (weight · factor)²) */
const importances = (): FunctionSpec => ({
  name: 'importances',
  parameters: [I32, F32, I32],
  locals: [V128],
  body: STEPS.flatMap((at) => [
    ...set(3, mul(load(get(0), at), splat(get(1)))),
    ...store(get(2), at, sqrt(add(splat([0x43, 0, 0, 0x80, 0x3f]), square(3)))),
  ]),
});

/** integerError(weights, importances, inverse, low, high): Σ importance · (code − weight · inverse)² */
const integerError = (): FunctionSpec => ({
  name: 'integerError',
  parameters: [I32, I32, F32, F32, F32],
  result: F32,
  locals: Array(6).fill(V128),
  body: sumOver(7, (at) => [
    ...set(5, mul(load(get(0), at), splat(get(2)))),
    ...set(6, sub(clampedCode(get(5), get(3), get(4)), get(5))),
    ...mul(load(get(1), at), square(6)),
  ]),
});

/**
 * integerFit(weights, importances, inverse, low, high, result): Σ importance · code · weight · inverse, and Σ
 * importance · code²
 */
const integerFit = (): FunctionSpec => ({
  name: 'integerFit',
  parameters: [I32, I32, F32, F32, F32, I32],
  locals: Array(11).fill(V128),
  body: [
    ...STEPS.flatMap((at) => [
      ...set(6, mul(load(get(0), at), splat(get(2)))),
      ...set(7, clampedCode(get(6), get(3), get(4))),
      ...set(8, mul(get(7), load(get(1), at))),
      ...accumulate(9, at, mul(get(8), get(6))),
      ...accumulate(13, at, mul(get(8), get(7))),
    ]),
    ...storeF32(get(5), 0, total(9)),
    ...storeF32(get(5), 4, total(13)),
  ],
});

/** integerCodes(weights, inverse, low, high, zero, result): 64 bytes of code + zero; Σ (code − weight · inverse)² */
const integerCodes = (): FunctionSpec => ({
  name: 'integerCodes',
  parameters: [I32, F32, F32, F32, F32, I32],
  result: F32,
  locals: Array(7).fill(V128),
  body: [
    ...bytesOf(5, (at) => [
      ...set(6, mul(load(get(0), at), splat(get(1)))),
      ...set(7, clampedCode(get(6), get(2), get(3))),
      ...set(8, sub(get(7), get(6))),
      ...accumulate(9, at, square(8)),
      ...toI32(add(get(7), splat(get(4)))),
    ]),
    ...total(9),
  ],
});

/** tableError(weights, importances, inverse, table): as integerError, for the nearest of 16 numbers */
const tableError = (): FunctionSpec => ({
  name: 'tableError',
  parameters: [I32, I32, F32, I32],
  result: F32,
  locals: Array(6).fill(V128),
  body: sumOver(6, (at) => [
    ...set(4, mul(load(get(0), at), splat(get(2)))),
    ...nearestNumber(3, 4, 5),
    ...set(5, sub(get(5), get(4))),
    ...mul(load(get(1), at), square(5)),
  ]),
});

/** tableFit(weights, importances, inverse, table, result): as integerFit */
const tableFit = (): FunctionSpec => ({
  name: 'tableFit',
  parameters: [I32, I32, F32, I32, I32],
  locals: Array(11).fill(V128),
  body: [
    ...STEPS.flatMap((at) => [
      ...set(5, mul(load(get(0), at), splat(get(2)))),
      ...nearestNumber(3, 5, 6),
      ...set(7, mul(get(6), load(get(1), at))),
      ...accumulate(8, at, mul(get(7), get(5))),
      ...accumulate(12, at, mul(get(7), get(6))),
    ]),
    ...storeF32(get(4), 0, total(8)),
    ...storeF32(get(4), 4, total(12)),
  ],
});

/** tableCodes(weights, inverse, table, result): as integerCodes */
const tableCodes = (): FunctionSpec => ({
  name: 'tableCodes',
  parameters: [I32, F32, I32, I32],
  result: F32,
  locals: Array(7).fill(V128),
  body: [
    ...bytesOf(3, (at) => [
      ...set(4, mul(load(get(0), at), splat(get(1)))),
      ...nearestNumber(2, 4, 5),
      ...set(5, sub(get(5), get(4))),
      ...accumulate(7, at, square(5)),
      ...set(6, subI32(get(6), get(6))),
      ...MIDDLES.flatMap((middle) => set(6, subI32(get(6), greater(get(4), loadSplat(get(2), middle))))),
      ...get(6),
    ]),
    ...total(7),
  ],
});

/** nibbles(codes, result): 64 bytes below 16 become 32, the even one in the low half */
const nibbles = (): FunctionSpec => ({
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
});

/** widen(bfloat16, result): 64 bfloat16 become float32 */
const widen = (): FunctionSpec => ({
  name: 'widen',
  parameters: [I32, I32],
  body: STEPS.flatMap((at) => store(get(1), at, shiftLeft32(load16x4(get(0), at / 2), 16))),
});

const FUNCTIONS = [
  range,
  squares,
  importances,
  integerError,
  integerFit,
  integerCodes,
  tableError,
  tableFit,
  tableCodes,
  nibbles,
  widen,
];

/** What the functions are called as. Addresses are bytes in `memory`. */
export interface VectorKernels {
  readonly memory: { readonly buffer: ArrayBuffer };
  range(weights: number, result: number): number;
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
  const specs = FUNCTIONS.map((spec) => spec());
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
  return new Instance(new Module(assemble(specs, 1))).exports as VectorKernels;
}
