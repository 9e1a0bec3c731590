import { DisposedError } from '@airllm/loader';
import { beforeEach, describe, expect, it } from 'vitest';
import { StateError, StateFullError } from '../errors';
import type { KvCacheDType, KvStateSpec } from '../graph/graph';
import { BlockPool } from './block-pool';
import { kvBlockBytes } from './kv-layout';
import { KvState } from './kv-state';

const spec: KvStateSpec = { kind: 'kv', kvHeads: 2, keyDim: 3, valueDim: 5, dtype: 'float32' };
const ring: KvStateSpec = { ...spec, window: 40 };

let pool: BlockPool;

beforeEach(() => {
  pool = new BlockPool({ limitBytes: 10 * kvBlockBytes(spec) });
  return () => pool.dispose();
});

/** Keys 2 · position + head and values 3 · position − head everywhere in a vector: exact in every dtype. */
function write(state: KvState, position: number, shift = 0): void {
  const { kvHeads, keyDim, valueDim } = state.spec;
  const fill = (dim: number, of: (head: number) => number) =>
    Float32Array.from({ length: kvHeads * dim }, (_, i) => of(Math.floor(i / dim)) + shift);
  state.write(
    position,
    fill(keyDim, (head) => 2 * position + head),
    fill(valueDim, (head) => 3 * position - head),
  );
}

/** A state of so many positions, all written. */
function filled(length: number, of: KvStateSpec = spec): KvState {
  const state = new KvState(pool, of);
  state.reserve(length);
  for (let position = 0; position < length; position++) write(state, position);
  return state;
}

/** The first key number of head 1, and the last value number. */
function at(state: KvState, position: number): [number, number] {
  return [state.read('key', 1, position, position + 1)[0]!, state.read('value', 1, position, position + 1).at(-1)!];
}
const expectedAt = (position: number): [number, number] => [2 * position + 1, 3 * position - 1];

const blocksInUse = () => pool.usedBytes / kvBlockBytes(spec);

describe('KvState', () => {
  it('holds keys by column, then values by position, in one block', () => {
    const state = filled(2);
    expect(kvBlockBytes(spec)).toBe(4 * 2 * 32 * 8);
    const block = memoryOf(state);
    const floats = new Float32Array(block.buffer, block.byteOffset, block.byteLength / 4);
    // Column 2 of head 1, positions 0 and 1; then position 1 of head 1 behind all keys.
    expect([...floats.slice((3 + 2) * 32, (3 + 2) * 32 + 2)]).toEqual([1, 3]);
    expect([...floats.slice(2 * 3 * 32 + (32 + 1) * 5, 2 * 3 * 32 + (32 + 2) * 5)]).toEqual([2, 2, 2, 2, 2]);
  });

  it.each([
    [1, 1],
    [31, 1],
    [32, 1],
    [33, 2],
    [64, 2],
    [65, 3],
  ])('makes room for %i positions in %i blocks', (length, blocks) => {
    const state = new KvState(pool, spec);
    state.reserve(length);
    expect(state.length).toBe(length);
    expect(blocksInUse()).toBe(blocks);
    expect(state.addresses().length).toBe(blocks);
    expect(state.byteLength).toBe(pool.usedBytes);
  });

  it('keeps what it has when it grows, and never shrinks by reserve', () => {
    const state = filled(40);
    state.reserve(100);
    state.reserve(50);
    expect(state.length).toBe(100);
    expect([0, 39].map((position) => at(state, position))).toEqual([0, 39].map(expectedAt));
  });

  it('changes nothing when the pool is full', () => {
    const state = filled(40);
    expect(() => state.reserve(11 * 32)).toThrow(expect.toSatisfy(StateFullError.isInstance));
    expect(state.length).toBe(40);
    expect(blocksInUse()).toBe(2);
    expect(() => filled(9 * 32)).toThrow(expect.toSatisfy(StateFullError.isInstance));
    expect(blocksInUse()).toBe(2);
  });

  it('lists block addresses by logical index, with holes', () => {
    const state = filled(100);
    const before = [...state.addresses()];
    expect(state.addresses()).toBe(state.addresses());
    expect(new Set(before).size).toBe(4);
    state.release(70);
    expect([...state.addresses()]).toEqual([0n, 0n, before[2], before[3]]);
    expect(state.start).toBe(64);
    expect(() => at(state, 63)).toThrow(expect.toSatisfy(StateError.isInstance));
    expect(() => write(state, 128)).toThrow(expect.toSatisfy(StateError.isInstance));
    expect(at(state, 64)).toEqual(expectedAt(64));
  });

  it('goes on as a ring in constant memory', () => {
    const state = new KvState(pool, ring);
    for (let position = 0; position < 2000; position++) {
      state.reserve(position + 1);
      write(state, position);
      state.release(position + 2 - 40);
      expect(blocksInUse()).toBeLessThanOrEqual(3);
    }
    for (let position = 1961; position < 2000; position++) {
      expect(at(state, position)).toEqual(expectedAt(position));
    }
  });

  it('forgets the end', () => {
    const state = filled(100);
    state.truncate(33);
    expect(blocksInUse()).toBe(2);
    state.truncate(90);
    expect(state.length).toBe(33);
    state.truncate(32);
    expect(blocksInUse()).toBe(1);
    state.reserve(64);
    expect(at(state, 31)).toEqual(expectedAt(31));
    state.truncate(0);
    expect(blocksInUse()).toBe(0);
  });

  it('does not truncate a ring to where its window is gone', () => {
    const state = filled(200, ring);
    state.release(130);
    state.truncate(190);
    state.truncate(167);
    expect(() => state.truncate(166)).toThrow(expect.toSatisfy(StateError.isInstance));
    expect(state.length).toBe(167);
    state.truncate(0);
    expect([state.start, state.length, blocksInUse()]).toEqual([0, 0, 0]);
    state.reserve(10);
    write(state, 9);
    expect(at(state, 9)).toEqual(expectedAt(9));
  });

  it('forks into an independent copy, or not at all', () => {
    const state = filled(130);
    state.release(40);
    const copy = state.fork();
    expect([copy.start, copy.length]).toEqual([32, 130]);
    write(copy, 33, 9);
    expect(at(copy, 33)).not.toEqual(expectedAt(33));
    expect(at(state, 33)).toEqual(expectedAt(33));
    expect(at(copy, 129)).toEqual(expectedAt(129));
    expect(copy.addresses()[0]).toBe(0n);
    expect(blocksInUse()).toBe(8);
    expect(() => state.fork()).toThrow(expect.toSatisfy(StateFullError.isInstance));
    expect(blocksInUse()).toBe(8);
  });

  it('is saved to bytes and restored', () => {
    const state = filled(100);
    state.release(40);
    const bytes = state.snapshot();
    const other = filled(200);
    other.restore(bytes);
    expect([other.start, other.length]).toEqual([32, 100]);
    expect([at(other, 32), at(other, 99)]).toEqual([expectedAt(32), expectedAt(99)]);
    expect(other.addresses()[0]).toBe(0n);
    expect(other.snapshot()).toEqual(bytes);
    // As a file gives them: a Buffer somewhere in a larger one.
    const third = new KvState(pool, spec);
    third.restore(Buffer.from([1, ...bytes, 2]).subarray(1, -1));
    expect(third.snapshot()).toEqual(bytes);
  });

  it.each<KvCacheDType>(['float32', 'bfloat16', 'int8'])('saves only what was stored, as %s', (dtype) => {
    const of: KvStateSpec = { ...spec, dtype };
    // Memory that was used before must not show in the bytes.
    const bytesOver = (before: number) => {
      const old = new KvState(pool, of);
      old.reserve(32);
      for (let position = 0; position < 32; position++) write(old, position, before);
      old.dispose();
      return filled(3, of).snapshot();
    };
    const bytes = bytesOver(50);
    const items = 2 * 32 * (3 + 5);
    expect(bytes.length).toBe(36 + { float32: 4 * items, bfloat16: 2 * items, int8: items + 2 * 32 * 8 }[dtype]);
    expect(bytesOver(-9)).toEqual(bytes);
    const copy = new KvState(pool, of);
    copy.restore(bytes);
    expect(at(copy, 2)).toEqual(at(filled(3, of), 2));
    expect(() => new KvState(pool, { ...of, kvHeads: 1 }).restore(bytes)).toThrow(
      expect.toSatisfy(StateError.isInstance),
    );
  });

  it('refuses bytes that are not a snapshot of its kind', () => {
    const bytes = filled(40).snapshot();
    const state = filled(70);
    const wrong = bytes.slice();
    wrong[0] = 0;
    const tooLong = bytes.slice();
    tooLong[32] = 255;
    for (const bad of [wrong, tooLong, bytes.slice(0, 10), bytes.slice(0, -4)]) {
      expect(() => state.restore(bad)).toThrow(expect.toSatisfy(StateError.isInstance));
    }
    for (const other of [ring, { ...spec, dtype: 'bfloat16' } as const]) {
      expect(() => filled(3, other).restore(bytes)).toThrow(expect.toSatisfy(StateError.isInstance));
    }
    expect(state.length).toBe(70);
  });

  it('gives its memory back once, and is unusable afterwards', () => {
    const state = filled(100);
    state.dispose();
    state.dispose();
    expect(blocksInUse()).toBe(0);
    expect(() => state.reserve(1)).toThrow(expect.toSatisfy(DisposedError.isInstance));
    expect(() => state.addresses()).toThrow(expect.toSatisfy(DisposedError.isInstance));
  });
});

describe('what is stored', () => {
  const random = (dtype: KvCacheDType, keys: readonly number[]) => {
    const state = new KvState(pool, { kind: 'kv', kvHeads: 1, keyDim: keys.length, valueDim: 1, dtype });
    state.reserve(8);
    state.write(7, Float32Array.from(keys), Float32Array.of(0));
    return state.read('key', 0, 7, 8);
  };
  const numbers = Array.from({ length: 100 }, (_, i) => Math.sin(i * 7.3) * 10 ** (i % 5));

  it('is a float32 to the bit', () => {
    expect(random('float32', numbers)).toEqual(Float32Array.from(numbers));
  });

  it('is the nearest bfloat16, of two the even one', () => {
    const found = random('bfloat16', numbers);
    for (const [i, x] of numbers.entries()) expect(Math.abs(found[i]! - x)).toBeLessThanOrEqual(Math.abs(x) / 256);
    expect([...random('bfloat16', [1 + 1 / 256, 1 + 3 / 256, -0, 3e38, 1e39])]).toEqual([
      1,
      1 + 4 / 256,
      -0,
      expect.closeTo(3e38, -37),
      Number.POSITIVE_INFINITY,
    ]);
    expect(random('bfloat16', [Number.NaN])[0]).toBeNaN();
  });

  it('is an int8 of the largest magnitude over 127, off by half of that at most', () => {
    const found = random('int8', numbers);
    const largest = Math.max(...numbers.map(Math.abs));
    for (const [i, x] of numbers.entries()) expect(Math.abs(found[i]! - x)).toBeLessThanOrEqual(largest / 253.99);
    expect([...random('int8', [254, 1, 3, 5, -1, -254])]).toEqual([254, 0, 4, 4, 0, -254]);
    expect([...random('int8', [0, -0])]).toEqual([0, 0]);
    expect([...random('int8', [1e-44, -1e-44])].every((x) => Math.abs(x) <= 1e-42)).toBe(true);
    expect(random('int8', [1, Number.NaN])[0]).toBeNaN();
  });
});

describe('blocks that travel', () => {
  it('come back where they were, without what was never stored', () => {
    const source = filled(70);
    source.release(40);
    const [second, last] = [source.cleanBlock(1), source.cleanBlock(2)];
    expect(second).toEqual(source.block(1));
    source.block(2).fill(1, 4 * 20, 4 * 21);
    expect(source.cleanBlock(2)).toEqual(last);
    const copy = new KvState(pool, spec);
    copy.place(32, 70);
    copy.block(1).set(second);
    copy.block(2).set(last);
    for (const position of [32, 69]) expect(at(copy, position)).toEqual(expectedAt(position));
    expect([copy.start, copy.length, copy.byteLength]).toEqual([32, 70, 2 * kvBlockBytes(spec)]);
    expect(copy.snapshot()).toEqual(source.snapshot());
    expect(() => copy.block(0)).toThrow(expect.toSatisfy(StateError.isInstance));
    expect(() => copy.place(0, 5)).toThrow(expect.toSatisfy(StateError.isInstance));
  });

  it('need their places, all or none', () => {
    const state = new KvState(pool, spec);
    expect(() => state.place(31, 40)).toThrow(expect.toSatisfy(StateError.isInstance));
    expect(() => state.place(0, 32 * 11)).toThrow(expect.toSatisfy(StateFullError.isInstance));
    expect([state.length, blocksInUse()]).toEqual([0, 0]);
  });
});

/** The first block, as bytes. */
function memoryOf(state: KvState): Uint8Array {
  return state.snapshot().slice(36);
}
