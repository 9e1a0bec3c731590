/**
 * Finds scales for blocks of weights that leave the smallest squared error, each weight's error counted `importance`
 * times. Everything is float64 arithmetic on float32 weights in a fixed order: the same on every machine.
 */

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** To nearest bfloat16, ties to even. */
export function toBfloat16(value: number): number {
  float[0] = value;
  const x = bits[0]!;
  bits[0] = (x + 0x7fff + ((x >>> 16) & 1)) & 0xffff0000;
  return float[0]!;
}

/** The upper 16 bits of a number that is a bfloat16. */
export function bfloat16Bits(value: number): number {
  float[0] = value;
  return bits[0]! >>> 16;
}

/** Added and taken away again it rounds a float64 to the nearest integer, ties to even. */
export const ROUND = 1.5 * 2 ** 52;

/** A run of weights, and how much each column's error matters. */
export interface Block {
  readonly weights: Float32Array;
  readonly importance: Float32Array;
  readonly from: number;
  readonly to: number;
}

/** Squared error of codes `low` to `high` around zero. */
export function integerError(
  { weights, importance, from, to }: Block,
  scale: number,
  low: number,
  high: number,
): number {
  const inverse = 1 / scale;
  let error = 0;
  for (let i = from; i < to; i++) {
    const weight = weights[i]!;
    let code = weight * inverse + ROUND - ROUND;
    if (code < low) code = low;
    else if (code > high) code = high;
    const difference = code * scale - weight;
    error += importance[i]! * difference * difference;
  }
  return error;
}

/** The scale that fits best to the codes that `scale` leads to (least squares); 0 if all of these are 0. */
export function refinedScale(
  { weights, importance, from, to }: Block,
  scale: number,
  low: number,
  high: number,
): number {
  const inverse = 1 / scale;
  let product = 0;
  let square = 0;
  for (let i = from; i < to; i++) {
    const weight = weights[i]!;
    let code = weight * inverse + ROUND - ROUND;
    if (code < low) code = low;
    else if (code > high) code = high;
    product += importance[i]! * code * weight;
    square += importance[i]! * code * code;
  }
  return square === 0 ? 0 : toBfloat16(product / square);
}

/** Squared error of the nearest of 16 numbers, times a scale. */
export function tableError({ weights, importance, from, to }: Block, scale: number, codebook: Codebook): number {
  const inverse = 1 / scale;
  let error = 0;
  for (let i = from; i < to; i++) {
    const weight = weights[i]!;
    const difference = codebook.numbers[codebook.nearest(weight * inverse)]! * scale - weight;
    error += importance[i]! * difference * difference;
  }
  return error;
}

export function refinedTableScale({ weights, importance, from, to }: Block, scale: number, codebook: Codebook): number {
  const inverse = 1 / scale;
  let product = 0;
  let square = 0;
  for (let i = from; i < to; i++) {
    const weight = weights[i]!;
    const number = codebook.numbers[codebook.nearest(weight * inverse)]!;
    product += importance[i]! * number * weight;
    square += importance[i]! * number * number;
  }
  return square === 0 ? 0 : toBfloat16(product / square);
}

/** 16 rising numbers, and which of them is nearest: found by the middles between them. */
export class Codebook {
  readonly #middles: Float64Array;

  constructor(readonly numbers: Float32Array) {
    this.#middles = Float64Array.from({ length: 15 }, (_, i) => (numbers[i]! + numbers[i + 1]!) / 2);
  }

  nearest(value: number): number {
    const middles = this.#middles;
    let at = value > middles[7]! ? 8 : 0;
    if (value > middles[at + 3]!) at += 4;
    if (value > middles[at + 1]!) at += 2;
    return value > middles[at]! ? at + 1 : at;
  }
}
