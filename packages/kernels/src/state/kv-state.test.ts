import { DisposedError } from '@airllm/loader';
import { beforeEach, describe, expect, it } from 'vitest';
import { StateError, StateFullError } from '../errors';
import type { KvStateSpec } from '../graph/graph';
import { BlockPool } from './block-pool';
import { kvBlockBytes } from './kv-layout';
import { KvState } from './kv-state';

const spec: KvStateSpec = { kind: 'kv', kvHeads: 2, keyDim: 3, valueDim: 5 };
const ring: KvStateSpec = { ...spec, window: 40 };

let pool: BlockPool;

beforeEach(() => {
  pool = new BlockPool({ limitBytes: 10 * kvBlockBytes(spec) });
  return () => pool.dispose();
});

/** A state of so many positions, each block filled with its index. */
function filled(length: number, of: KvStateSpec = spec): KvState {
  const state = new KvState(pool, of);
  state.reserve(length);
  for (let b = 0; b * 32 < length; b++) {
    state.keys(b).fill(b);
    state.values(b).fill(b + 0.5);
  }
  return state;
}

const blocksInUse = () => pool.usedBytes / kvBlockBytes(spec);

describe('KvState', () => {
  it('holds keys, then values, in one block', () => {
    const state = filled(1);
    expect(state.keys(0).length).toBe(2 * 32 * 3);
    expect(state.values(0).length).toBe(2 * 32 * 5);
    expect(state.values(0).byteOffset - state.keys(0).byteOffset).toBe(4 * 2 * 32 * 3);
    expect(kvBlockBytes(spec)).toBe(4 * 2 * 32 * 8);
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
    expect([state.keys(0)[0], state.keys(1)[0], state.values(1)[0]]).toEqual([0, 1, 1.5]);
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
    expect(() => state.keys(1)).toThrow(expect.toSatisfy(StateError.isInstance));
    expect(() => state.keys(4)).toThrow(expect.toSatisfy(StateError.isInstance));
    expect(state.keys(2)[0]).toBe(2);
  });

  it('goes on as a ring in constant memory', () => {
    const state = new KvState(pool, ring);
    for (let position = 0; position < 2000; position++) {
      state.reserve(position + 1);
      state.keys(position >> 5)[position & 31] = position;
      state.release(position + 2 - 40);
      expect(blocksInUse()).toBeLessThanOrEqual(3);
    }
    for (let position = 1961; position < 2000; position++) {
      expect(state.keys(position >> 5)[position & 31]).toBe(position);
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
    expect(state.keys(0)[0]).toBe(0);
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
    expect(state.keys(0).length).toBeGreaterThan(0);
  });

  it('forks into an independent copy, or not at all', () => {
    const state = filled(130);
    state.release(40);
    const copy = state.fork();
    expect([copy.start, copy.length]).toEqual([32, 130]);
    copy.keys(1).fill(9);
    expect(state.keys(1)[0]).toBe(1);
    expect(copy.values(4)[0]).toBe(4.5);
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
    expect([other.keys(1)[0], other.values(2)[0], other.addresses()[0]]).toEqual([1, 2.5, 0n]);
    expect(other.snapshot()).toEqual(bytes);
    // As a file gives them: a Buffer somewhere in a larger one.
    const third = new KvState(pool, spec);
    third.restore(Buffer.from([1, ...bytes, 2]).subarray(1, -1));
    expect(third.snapshot()).toEqual(bytes);
  });

  it('saves only what was stored', () => {
    // Memory that was used before must not show in the bytes.
    filled(32).dispose();
    const state = new KvState(pool, spec);
    state.reserve(1);
    state.keys(0).fill(7);
    state.values(0).fill(7);
    const floats = new Float32Array(state.snapshot().slice(32).buffer);
    expect(floats.filter((value) => value === 7).length).toBe(2 * 3 + 2 * 5);
    expect(floats.filter((value) => value !== 0 && value !== 7).length).toBe(0);
  });

  it('refuses bytes that are not a snapshot of its kind', () => {
    const bytes = filled(40).snapshot();
    const state = filled(70);
    const wrong = bytes.slice();
    wrong[0] = 0;
    const tooLong = bytes.slice();
    tooLong[28] = 255;
    for (const bad of [wrong, tooLong, bytes.slice(0, 10), bytes.slice(0, -4)]) {
      expect(() => state.restore(bad)).toThrow(expect.toSatisfy(StateError.isInstance));
    }
    expect(() => filled(3, ring).restore(bytes)).toThrow(expect.toSatisfy(StateError.isInstance));
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
