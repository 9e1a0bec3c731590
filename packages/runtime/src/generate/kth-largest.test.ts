import fc from 'fast-check';
import { expect, test } from 'vitest';
import { kthLargest } from './kth-largest';

test('is what sorting would give, equals counted one by one', () => {
  const scores = fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.float({ noNaN: true })), { minLength: 1 });
  fc.assert(
    fc.property(scores, fc.nat(), (values, n) => {
      const k = 1 + (n % values.length);
      const floats = Float32Array.from(values);
      const sorted = floats.slice().sort().reverse();
      // Zeros of both signs are equal, and sorting tells them apart.
      expect(kthLargest(floats, k) + 0).toBe(sorted[k - 1]! + 0);
    }),
  );
});
