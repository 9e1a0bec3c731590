import { decodeToFloat32, tensorBytes } from '@airllm/loader';
import { describe, expect, it } from 'vitest';
import { fitted, packedExamples } from '../../conformance/packed-formats';
import { GraphBuilder } from '../../graph/builder';
import { instructionSets, openLibrary } from '../../native/library';
import { findLibrary } from '../../native/platform';
import type { PackedExample } from '../../testing/packed';
import { randomValues } from '../../testing/random';
import { TestWeights } from '../../testing/weights';
import type { MemoryRef } from '../protocol';
import { bf16ToHalf, floatsToHalf } from './half';
import { NativeNumbers, openNumbers } from './native-numbers';
import { ScriptNumbers } from './numbers';
import { packedMatrix } from './packed-matrix';

const library = openLibrary(findLibrary());
const isas = instructionSets(library);
const DTYPES = { F32: 0, F16: 1, BF16: 2 } as const;
/** What the script makes. */
function ofBf16(stored: Uint16Array) {
  const halves = new Uint16Array(stored.length);
  return { largest: bf16ToHalf(stored, halves), halves };
}
const ALL = Uint16Array.from({ length: 2 ** 16 }, (_, pattern) => pattern);

/** The same bytes at an address that no type is aligned to. */
function displaced({ buffer, byteOffset, byteLength }: ArrayBufferView, by: number): Uint8Array {
  const bytes = new Uint8Array(byteLength + by);
  bytes.set(new Uint8Array(buffer, byteOffset, byteLength), by);
  return bytes.subarray(by);
}

it('is what the worker reads numbers with', () => {
  const numbers = openNumbers();
  expect(numbers.name).toBe('native');
  numbers.close();
});

describe.each(isas)('%s', (isa) => {
  function convert(from: keyof typeof DTYPES, to: 'F32' | 'F16', stored: Uint8Array, count: number) {
    const size = to === 'F32' ? 4 : 2;
    const largest = new Float32Array(1);
    // What lies after it must stay as it is.
    const out = new Uint8Array((count + 1) * size).fill(0xa5);
    library.check('', library.convert(isa, DTYPES[from], DTYPES[to], count, stored, out, largest));
    expect([...out.subarray(count * size)]).toEqual(Array(size).fill(0xa5));
    return { bytes: out.slice(0, count * size), largest: largest[0]! };
  }
  const same = (found: Uint8Array, expected: ArrayBufferView) =>
    Buffer.compare(found, Buffer.from(expected.buffer, expected.byteOffset, expected.byteLength)) === 0;

  it('makes float16 of every bf16 as the script does', () => {
    const { bytes, largest } = convert('BF16', 'F16', displaced(ALL, 1), ALL.length);
    expect(same(bytes, ofBf16(ALL).halves)).toBe(true);
    expect(largest).toBe(Number.POSITIVE_INFINITY);
    // Each alone has the largest that the script finds.
    const wrong = [0, 1, 0x80, 0x3a80, 0x477f, 0x4780, 0x7f7f, 0x7f80, 0x7fc1, 0xffff, 0xff80, 0xc000].filter(
      (pattern) => {
        const one = Uint16Array.of(pattern);
        return convert('BF16', 'F16', displaced(one, 1), 1).largest !== ofBf16(one).largest;
      },
    );
    expect(wrong).toEqual([]);
  });

  it('makes any number of them, from any address', () => {
    for (let count = 1; count <= 67; count++) {
      const stored = ALL.subarray(0x3f00 + 7 * count, 0x3f00 + 8 * count);
      const { bytes, largest } = convert('BF16', 'F16', displaced(stored, count % 5), count);
      const expected = ofBf16(stored);
      expect([count, same(bytes, expected.halves), largest]).toEqual([count, true, expected.largest]);
    }
  });

  it('makes float16 of float32 as the script does', () => {
    const halves = decodeToFloat32('F16', new Uint8Array(ALL.buffer), ALL.length);
    // Every float16, what lies half way between two, and beside that.
    const ties = halves.map((value, n) => (value + halves[n + 1]!) / 2);
    const values = [halves, ties, ties.map((value) => value * (1 + 2 ** -22)), randomValues('x', 5000)];
    for (const some of values) {
      const { bytes } = convert('F32', 'F16', displaced(some, 3), some.length);
      const halves = new Uint16Array(some.length);
      floatsToHalf(some, halves);
      expect(same(bytes, halves)).toBe(true);
    }
  });

  it('makes float32 exactly', () => {
    const quiet = ALL.filter((pattern) => (pattern & 0x7c00) !== 0x7c00 || (pattern & 0x3ff) === 0);
    for (const [dtype, stored] of [
      ['BF16', ALL],
      ['F16', quiet],
    ] as const) {
      const [bytes, count] = [displaced(stored, 1), stored.length];
      const found = convert(dtype, 'F32', bytes, count).bytes;
      expect(same(found, decodeToFloat32(dtype, bytes, count))).toBe(true);
      expect(same(found, new ScriptNumbers().floats({ dtype, bytes, count }, new ArrayBuffer(4 * count)))).toBe(true);
    }
  });
});

it.each(packedExamples)('unpacks $name with every instruction set', (example) => {
  const script = new ScriptNumbers();
  const memory = (rows: number) => new ArrayBuffer(4 * rows * 320);
  const bytes = (numbers?: Float32Array | Uint16Array) => numbers && Buffer.from(numbers.buffer);
  for (const { matrix, dispose } of matrices(fitted(example, [9, 320]))) {
    for (const [from, rows] of [
      [0, matrix.rows],
      [2, 1],
    ] as const) {
      const stored = { matrix, from, rows };
      const floats = bytes(script.floats(stored, memory(rows)))!;
      const halves = bytes(script.halves(stored, memory(rows)));
      for (const isa of isas) {
        const native = new NativeNumbers(library, isa);
        expect([isa, bytes(native.floats(stored, memory(rows)))!.equals(floats)]).toEqual([isa, true]);
        const found = bytes(native.halves(stored, memory(rows)));
        expect([isa, halves === undefined ? found === undefined : found?.equals(halves)]).toEqual([isa, true]);
        native.close();
      }
    }
    dispose();
  }
});

/** A matrix `[9, 320]`, and the slice of it from row 4 on. */
function* matrices(example: PackedExample) {
  for (const slice of [undefined, { from: 4, to: 9 }]) {
    const weights = new TestWeights('F32', example);
    const b = new GraphBuilder(weights.source);
    b.output('y', b.linear(b.input('x', 320), 'proj', 9));
    const { graph, weights: tensors } = b.build('case');
    const given = graph.weights.map(({ dtype, shape, layout }, id): MemoryRef => {
      const { buffer, offset } = weights.bytes(tensors[id]!.name);
      const length = tensorBytes(dtype, shape);
      const skipped = slice !== undefined && layout === 'out,in' ? (length / shape[0]!) * slice.from : 0;
      return { address: buffer.address + BigInt(offset + skipped), length: length - skipped };
    });
    yield { matrix: packedMatrix(graph, 0, given, slice), dispose: () => weights.dispose() };
  }
}
