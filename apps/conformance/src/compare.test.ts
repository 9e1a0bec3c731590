import { describe, expect, it } from 'vitest';
import { compareLogits, compareText, compareTokens, largestError } from './compare';

describe('largestError', () => {
  it('finds the largest difference and where it is', () => {
    expect(largestError([1, 2, 3], [1, 2.5, 2.75])).toEqual({ error: 0.5, at: 1 });
  });

  it('counts NaN on either side as infinitely far', () => {
    expect(largestError([1, Number.NaN], [1, 2])).toEqual({ error: Number.POSITIVE_INFINITY, at: 1 });
    expect(largestError([1, 2], [Number.NaN, 2])).toEqual({ error: Number.POSITIVE_INFINITY, at: 0 });
  });
});

describe('compareLogits', () => {
  const expected = new Float32Array([0, 1, 2, 3, 4, 5]);

  it('holds within the tolerance and names row and token beyond it', () => {
    expect(
      compareLogits(
        'logits',
        expected.map((x) => x + 1e-4),
        expected,
        3,
        2e-4,
      ).ok,
    ).toBe(true);
    const found = expected.slice();
    found[4]! += 1e-3;
    const { ok, fact } = compareLogits('logits', found, expected, 3, 2e-4);
    expect(ok).toBe(false);
    expect(fact).toContain('row 1, token 1');
  });

  it('refuses missing and additional rows, even where all others agree', () => {
    expect(compareLogits('logits', expected.slice(0, 3), expected, 3, 2e-4).ok).toBe(false);
    expect(compareLogits('logits', new Float32Array([...expected, 6, 7, 8]), expected, 3, 2e-4).ok).toBe(false);
    expect(compareLogits('logits', new Float32Array(), expected, 3, 2e-4).ok).toBe(false);
  });
});

describe('compareTokens', () => {
  it.each([
    [[5, 6, 8], 'token 2 of 3 differs: expected 7, found 8'],
    [[5, 6], 'token 2 of 3 differs: expected 7, found the end'],
    [[5, 6, 7, 1], 'token 3 of 3 differs: expected the end, found 1'],
  ])('names the first difference of %j', (found, fact) => {
    expect(compareTokens(found, [5, 6, 7])).toEqual({ ok: false, fact });
  });

  it('accepts equal ones', () => {
    expect(compareTokens([5, 6, 7], [5, 6, 7])).toEqual({ ok: true, fact: '3 tokens equal' });
  });
});

describe('compareText', () => {
  it('shows where the texts part, also where one is the start of the other', () => {
    expect(compareText('text', 'abc', 'abd').fact).toContain('character 2');
    expect(compareText('text', 'ab', 'abd').ok).toBe(false);
    expect(compareText('text', 'abd', 'ab').ok).toBe(false);
    expect(compareText('text', 'ab', 'ab').ok).toBe(true);
  });
});
