import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NgramIndex } from './ngram-index';

/** By its definition: the longest end of the text that occurs earlier, and its last earlier place. */
function search(ids: readonly number[], longest: number) {
  for (let matched = Math.min(longest, ids.length - 1); matched > 0; matched--) {
    for (let next = ids.length - 1; next >= matched; next--) {
      if (ids.slice(next - matched, next).every((id, i) => id === ids[ids.length - matched + i]))
        return { matched, next };
    }
  }
  return undefined;
}

test('finds what searching the whole text finds, after every token', () => {
  const text = fc.array(fc.nat(2), { maxLength: 40 });
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 5 }), (ids, longest) => {
      const index = new NgramIndex(longest);
      ids.forEach((id, i) => {
        index.push(id);
        expect(index.find()).toEqual(search(ids.slice(0, i + 1), longest));
      });
    }),
  );
});
