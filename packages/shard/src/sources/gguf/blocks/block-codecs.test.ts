import { type ComponentName, PackedDecoder } from '@airllm/kernels';
import { expect, test } from 'vitest';
import { BLOCK_OUTPUTS, type BlockOutputs, bytesPerBlock } from './block-codec';
import { BLOCK_CODECS } from './block-codecs';

// Blocks made by hand from the formulas in ggml-quants.c; real files are compared in map-tensors.test.ts.

/** Float32 weights of the blocks, by way of the packed format. */
function decode(type: string, values: number, blocks: readonly Uint8Array[]): Float32Array {
  const { format, constants, decode: rewrite } = BLOCK_CODECS[type]!;
  const bytes = bytesPerBlock(format, values);
  const made = BLOCK_OUTPUTS.map((name) => [name, new Uint8Array(bytes[name] * blocks.length)] as const);
  const out = Object.fromEntries(made) as unknown as BlockOutputs;
  // Twice, so that places within the outputs are tried as well.
  rewrite(Buffer.concat(blocks), 0, 1, out, 0);
  rewrite(Buffer.concat(blocks), blocks[0]!.length, blocks.length - 1, out, 1);
  const all: Partial<Record<ComponentName, Uint8Array>> = { ...out };
  if (constants) all.constants = new Uint8Array(constants.buffer, constants.byteOffset, constants.byteLength);
  const columns = values * blocks.length;
  return new PackedDecoder({ format, columns, firstRow: 0, bytes: all, rowwise: new Set() }).rows(0, 1);
}

const half = (bits: number): number[] => [bits & 255, bits >> 8];
const ONE = half(0x3c00);
const TWO = half(0x4000);
const ramp = (length: number): number[] => Array.from({ length }, (_, i) => i);

test('Q4_0: low nibbles are the first half of a block', () => {
  const byte = (low: number, high: number) => low | (high << 4);
  const block = Uint8Array.of(...TWO, ...ramp(16).map((i) => byte(i, 15 - i)));
  const weights = [...ramp(16).map((i) => 2 * (i - 8)), ...ramp(16).map((i) => 2 * (7 - i))];
  expect([...decode('Q4_0', 32, [block, block])]).toEqual([...weights, ...weights]);
});

test('Q5_1: the fifth bits lie apart, and an offset is added', () => {
  const block = Uint8Array.of(...ONE, ...TWO, 0, 0, 0xff, 0xff, ...ramp(16).map((i) => i | (i << 4)));
  const weights = [...ramp(16).map((i) => i + 2), ...ramp(16).map((i) => i + 16 + 2)];
  expect([...decode('Q5_1', 32, [block, block])]).toEqual([...weights, ...weights]);
});

test('Q8_K: a single-precision scale, and sums that are passed over', () => {
  const block = new Uint8Array(292);
  new DataView(block.buffer).setFloat32(0, 0.1, true);
  block.set(ramp(256), 4);
  block.fill(0xee, 260);
  const weights = ramp(256).map((i) => Math.fround(((i << 24) >> 24) * Math.fround(0.1)));
  expect([...decode('Q8_K', 256, [block, block])]).toEqual([...weights, ...weights]);
});

test('NVFP4: four unsigned E4M3 scales, halved for doubled codes', () => {
  // 1, 448, the least above 0, and NaN, which ggml takes for 0.
  const scales = [0x38, 0x7e, 0x01, 0x7f];
  const codes = ramp(8).map((i) => i | ((i + 8) << 4));
  const block = Uint8Array.of(...scales, ...codes, ...codes, ...codes, ...codes);
  const e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
  const signed = [...e2m1, ...e2m1.map((value) => 0 - value)];
  const weights = [1, 448, 2 ** -9, 0].flatMap((scale) => signed.map((value) => value * scale + 0));
  expect([...decode('NVFP4', 64, [block, block])].map((value) => value + 0)).toEqual([...weights, ...weights]);
});

test('MXFP4 reaches both ends of its exponents', () => {
  const codes = new Array(16).fill(0x12);
  const blocks = [0, 255].map((exponent) => Uint8Array.of(exponent, ...codes));
  const weights = decode('MXFP4', 32, blocks);
  expect([weights[0], weights[16]]).toEqual([2 ** -127, 2 ** -128]);
  expect([weights[32], weights[48]]).toEqual([Number.POSITIVE_INFINITY, 2 ** 127]);
});
