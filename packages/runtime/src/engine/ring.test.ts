import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Ring } from './ring';

test('pieces never overlap, never leave the buffer, and come back in order', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 200 }),
      fc.array(fc.oneof(fc.integer({ min: 1, max: 80 }), fc.constant(0)), { maxLength: 200 }),
      (size, steps) => {
        const ring = new Ring(size);
        const live: { offset: number; bytes: number }[] = [];
        for (const bytes of steps) {
          if (bytes === 0) {
            if (live.length > 0) {
              live.shift();
              ring.give();
            }
            continue;
          }
          const offset = ring.take(bytes);
          if (offset === null) continue;
          expect(offset + bytes).toBeLessThanOrEqual(size);
          for (const other of live) {
            expect(offset + bytes <= other.offset || other.offset + other.bytes <= offset).toBe(true);
          }
          live.push({ offset, bytes });
        }
        expect(ring.empty).toBe(live.length === 0);
      },
    ),
  );
});

test('two pieces of half the size always fit, whatever came before', () => {
  const ring = new Ring(100);
  for (let i = 0; i < 10; i++) {
    expect(ring.take(50)).not.toBeNull();
    expect(ring.take(50)).not.toBeNull();
    expect(ring.take(1)).toBeNull();
    ring.give();
    ring.give();
  }
});

test('an empty ring takes a piece as large as itself and refuses a larger one', () => {
  const ring = new Ring(64);
  expect(ring.take(65)).toBeNull();
  expect(ring.take(64)).toBe(0);
});
