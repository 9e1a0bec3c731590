import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RangeSet } from './range-set';

const SIZE = 60;
const range = fc.tuple(fc.nat(SIZE), fc.nat(SIZE)).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }));

test('a set of ranges is a set of bytes', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), range, (added, asked) => {
      const bytes = Array<boolean>(SIZE).fill(false);
      for (const { from, to } of added) bytes.fill(true, from, to);
      const set = new RangeSet(added);
      expect(set.size).toBe(bytes.filter(Boolean).length);
      expect(set.has(asked.from, asked.to)).toBe(bytes.slice(asked.from, asked.to).every(Boolean));
      const end = bytes.indexOf(false, asked.from);
      expect(set.endOf(asked.from)).toBe(end < 0 ? SIZE : end);
      const gaps = Array<boolean>(SIZE).fill(true);
      for (const { from, to } of set.gaps(SIZE)) gaps.fill(false, from, to);
      expect(gaps).toEqual(bytes);
      // In order, and never side by side.
      for (const [index, { from }] of set.ranges.entries()) {
        if (index > 0) expect(from).toBeGreaterThan(set.ranges[index - 1]?.to as number);
      }
    }),
  );
});
