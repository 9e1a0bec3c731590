/**
 * Just enough of WebAssembly's binary format for straight-line vector code. The result of 32-bit float vectors is defined
 * to the bit, so what is computed with them is the same on every machine; and it takes neither a compiler nor a binary.
 */

/** Instructions, as bytes. */
export type Code = readonly number[];

export const I32 = 0x7f;
export const F32 = 0x7d;
export const V128 = 0x7b;
type Type = typeof I32 | typeof F32 | typeof V128;

export interface FunctionSpec {
  readonly name: string;
  readonly parameters: readonly Type[];
  readonly result?: typeof F32;
  /** Locals, numbered after the parameters. */
  readonly locals?: readonly Type[];
  readonly body: Code;
}

/** A module of these functions and one memory called `memory`. */
export function assemble(functions: readonly FunctionSpec[], pages: number): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters, result }) => [
    0x60,
    ...list(parameters.map((type) => [type])),
    ...list(result === undefined ? [] : [[result]]),
  ]);
  const exported = functions.map(({ name }, i) => [...text(name), 0x00, ...unsigned(i)]);
  const bodies = functions.map(({ locals = [], body }) => {
    const code = [...list(locals.map((type) => [1, type])), ...body, 0x0b];
    return [...unsigned(code.length), ...code];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, list(types)),
    ...section(3, list(functions.map((_, i) => unsigned(i)))),
    ...section(5, list([[0x00, ...unsigned(pages)]])),
    ...section(7, list([[...text('memory'), 0x02, 0x00], ...exported])),
    ...section(10, list(bodies)),
  ]);
}

function section(id: number, content: Code): number[] {
  return [id, ...unsigned(content.length), ...content];
}

function list(items: readonly Code[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function text(value: string): number[] {
  const bytes = [...new TextEncoder().encode(value)];
  return [...unsigned(bytes.length), ...bytes];
}

function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

/** An instruction of vectors after its operands. */
const vector =
  (opcode: number) =>
  (...operands: Code[]): Code => [...operands.flat(), 0xfd, ...unsigned(opcode)];

export const get = (local: number): Code => [0x20, ...unsigned(local)];
export const set = (local: number, value: Code): Code => [...value, 0x21, ...unsigned(local)];
export const addF32 = (a: Code, b: Code): Code => [...a, ...b, 0x92];
export const storeF32 = (address: Code, offset: number, value: Code): Code => [
  ...address,
  ...value,
  0x38,
  2,
  ...unsigned(offset),
];
export const i32 = (value: number): Code => [0x41, ...signed(value)];

function signed(value: number): number[] {
  const low = value & 127;
  const rest = value >> 7;
  const done = (rest === 0 && (low & 64) === 0) || (rest === -1 && (low & 64) !== 0);
  return done ? [low] : [low | 128, ...signed(rest)];
}

/** `offset` bytes from an address of any alignment. */
const memory = (opcode: number) => (address: Code, offset: number) => [
  ...address,
  0xfd,
  ...unsigned(opcode),
  0,
  ...unsigned(offset),
];
export const load = memory(0);
/** Four 16-bit numbers, widened. */
export const load16x4 = memory(4);
/** One 32-bit number in all lanes. */
export const loadSplat = memory(9);
export const store = (address: Code, offset: number, value: Code): Code => memory(11)([...address, ...value], offset);

export const lane = (value: Code, index: number): Code => [...value, 0xfd, ...unsigned(31), index];
export const splat = vector(19);
export const splatI16 = vector(16);
export const greater = vector(68);
export const and = vector(78);
export const or = vector(80);
export const nearest = vector(106);
export const narrow16to8 = vector(101);
export const narrow16to8u = vector(102);
export const narrow32to16 = vector(133);
export const shiftRight16 = (value: Code, by: number): Code => vector(141)(value, i32(by));
export const shiftLeft32 = (value: Code, by: number): Code => vector(171)(value, i32(by));
export const subI32 = vector(177);
export const sqrt = vector(227);
export const add = vector(228);
export const sub = vector(229);
export const mul = vector(230);
/** `b < a ? b : a`: one instruction of every processor, which min and max that heed NaN are not. */
export const least = vector(234);
/** `a < b ? b : a` */
export const greatest = vector(235);
export const toI32 = vector(248);
