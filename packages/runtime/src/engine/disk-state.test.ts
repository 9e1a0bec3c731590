import { type KvStateSpec, StateError } from '@airllm/kernels';
import { DisposedError } from '@airllm/loader';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DiskState } from './disk-state';
import { FileSpace } from './file-space';

const spec: KvStateSpec = { kind: 'kv', kvHeads: 1, keyDim: 8, valueDim: 8, dtype: 'float32' };
const SLOT = 4096;

function owner() {
  return { space: new FileSpace(), states: new Set<DiskState>(), onDispose: () => {} };
}

test('file space gives each its own bytes and takes them back', () => {
  const space = new FileSpace();
  const [a, b, c] = [space.allocate(10), space.allocate(20), space.allocate(30)];
  expect([a.offset, b.offset, c.offset]).toEqual([0, 10, 30]);
  b.users++;
  space.release(b);
  expect(space.allocate(5).offset).toBe(60);
  space.release(b);
  expect([space.allocate(25).offset, space.allocate(20).offset]).toEqual([65, 10]);
});

test('space is empty once everybody has left, in any order', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.nat()), { minLength: 1 }), (wanted) => {
      const space = new FileSpace();
      const ranges = wanted.map(([bytes, order]) => ({ range: space.allocate(bytes), order }));
      expect(space.empty).toBe(false);
      for (const { range } of ranges.sort((x, y) => x.order - y.order)) space.release(range);
      expect(space.empty).toBe(true);
    }),
  );
});

/** A file as states use it: what was written last where. */
class Written {
  readonly #bytes = new Map<number, string>();

  write(state: DiskState, index: number, text: string): void {
    this.#bytes.set(state.slotFor(index).offset, text);
  }

  read(state: DiskState): (string | undefined)[] {
    return state.slots.map(({ offset }) => this.#bytes.get(offset));
  }
}

test('blocks follow each other in the file', () => {
  const state = new DiskState(owner(), spec, 0, 100);
  state.reserve(100);
  for (let index = 0; index < 4; index++) state.slotFor(index);
  expect(state.slots.map(({ offset }) => offset)).toEqual([0, SLOT, 2 * SLOT, 3 * SLOT]);
  expect([state.byteLength, state.mostBytes]).toEqual([4 * SLOT, 4 * SLOT]);
  state.truncate(33);
  expect(state.slots).toHaveLength(2);
  expect(() => state.reserve(129)).toThrow(expect.toSatisfy(StateError.isInstance));
});

test('forks share blocks until somebody writes to one, however often they fork', () => {
  const any = owner();
  const steps = fc.array(
    fc.tuple(fc.nat({ max: 5 }), fc.constantFrom('fork', 'write', 'truncate', 'dispose'), fc.nat()),
  );
  fc.assert(
    fc.property(steps, (todo) => {
      const file = new Written();
      const states: { state: DiskState; expected: string[] }[] = [
        { state: new DiskState(any, spec, 0, 32 * 6), expected: [] },
      ];
      todo.forEach(([which, action, number], step) => {
        const chosen = states[which % Math.max(1, states.length)];
        if (chosen === undefined) return;
        const { state, expected } = chosen;
        if (action === 'fork' && states.length < 5) states.push({ state: state.fork(), expected: [...expected] });
        if (action === 'write') {
          const index = Math.min(number % (expected.length + 1), 5);
          state.reserve(32 * (index + 1));
          file.write(state, index, `step ${step}`);
          expected[index] = `step ${step}`;
        }
        if (action === 'truncate') {
          const blocks = number % (expected.length + 1);
          state.truncate(32 * blocks);
          expected.length = blocks;
        }
        if (action === 'dispose') {
          state.dispose();
          states.splice(states.indexOf(chosen), 1);
        }
        for (const each of states) expect(file.read(each.state)).toEqual(each.expected);
      });
      for (const { state } of states) state.dispose();
      expect([any.space.empty, any.states.size]).toEqual([true, 0]);
    }),
    { numRuns: 200 },
  );
});

test('what failed is lost until it is run again', () => {
  const state = new DiskState(owner(), spec, 0, 64);
  state.reserve(40);
  state.slotFor(0);
  state.fail(new Error('full'));
  expect(() => state.slots).toThrow('full');
  expect(() => state.fork()).toThrow('full');
  state.truncate(0);
  expect(state.slots).toEqual([]);
  state.dispose();
  state.dispose();
  expect(() => state.reserve(1)).toThrow(expect.toSatisfy(DisposedError.isInstance));
});
