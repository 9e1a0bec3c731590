import { OptionError } from '@airllm/loader';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopStrings } from './stop-strings';

function run(stops: string[], pieces: string[]) {
  const watcher = new StopStrings(stops);
  const shown = pieces.map((piece) => watcher.push(piece));
  return { shown, rest: watcher.flush(), matched: watcher.matched };
}

describe('StopStrings', () => {
  it('finds a stop string across pieces and shows nothing of it', () => {
    expect(run(['</end>'], ['a <', '/e', 'nd> b'])).toEqual({ shown: ['a ', '', ''], rest: '', matched: '</end>' });
  });

  it('shows what turned out not to be one', () => {
    expect(run(['###'], ['a#', '#b', '##'])).toEqual({ shown: ['a', '##b', ''], rest: '##', matched: null });
  });

  it('takes the one that begins first, of those the longest', () => {
    expect(run(['b', 'ab'], ['xab']).matched).toBe('ab');
    expect(run(['ab', 'abc'], ['xabc']).matched).toBe('abc');
  });

  it('shows nothing after a match', () => {
    expect(run(['x'], ['ax', 'b']).shown).toEqual(['a', '']);
  });

  it('refuses an empty stop string', () => {
    expect(() => new StopStrings([''])).toThrow(OptionError);
  });

  it('never leaks a stop string and loses nothing else, however the text is cut', () => {
    // A small alphabet, so that beginnings and overlaps are common.
    const text = (max: number) => fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: max });
    fc.assert(
      fc.property(fc.array(text(4), { maxLength: 3 }), fc.array(text(6), { maxLength: 12 }), (stops, pieces) => {
        const { shown, rest, matched } = run(stops, pieces);
        const all = pieces.join('');
        const out = shown.join('') + rest;
        const places = stops.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
        if (places.length === 0) {
          expect(matched).toBeNull();
          expect(out).toBe(all);
        } else {
          expect(stops).toContain(matched);
          expect(stops.some((stop) => out.includes(stop))).toBe(false);
          expect(all.startsWith(out + matched)).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
