import fc from 'fast-check';
import { expect, test } from 'vitest';
import { choosePinned } from './pinned';
import type { Segment } from './types';

const segments = fc
  .array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 60 })
  .map((sizes) =>
    sizes.map((bytes, index): Segment => ({ index, block: 0, part: { from: 0, to: 1 }, weights: [], bytes })),
  );

test('the pinned set fits, leaves no room for another segment, and always holds what costs nothing', () => {
  fc.assert(
    fc.property(segments, fc.integer({ min: 0, max: 40_000 }), (cycle, bytes) => {
      const pinned = choosePinned(cycle, bytes);
      const used = cycle.reduce((sum, segment, i) => sum + (pinned[i] ? segment.bytes : 0), 0);
      expect(used).toBeLessThanOrEqual(bytes);
      cycle.forEach((segment, i) => {
        if (!pinned[i]) expect(used + segment.bytes).toBeGreaterThan(bytes);
        if (segment.bytes === 0) expect(pinned[i]).toBe(true);
      });
    }),
  );
});

test('equal segments alternate evenly', () => {
  const cycle = Array.from(
    { length: 12 },
    (_, index): Segment => ({ index, block: 0, part: { from: 0, to: 1 }, weights: [], bytes: 10 }),
  );
  const runs = choosePinned(cycle, 60)
    .map((kept) => (kept ? 'p' : 's'))
    .join('');
  expect(runs).toBe('spspspspspsp');
  expect(choosePinned(cycle, 120).every(Boolean)).toBe(true);
  expect(choosePinned(cycle, 0).some(Boolean)).toBe(false);
});
