import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cpuSeconds } from '../../../../.ci/cpu-seconds';
import { TextStream, type TextStreamOptions } from './text-stream';
import { createTokenizer, type Tokenizer } from './tokenizer';
import { byteFallbackTokenizer, byteLevelTokenizer } from './tokenizer/small.fixture';

const bytes = createTokenizer({ tokenizerJson: byteLevelTokenizer() });
const fallback = createTokenizer({ tokenizerJson: byteFallbackTokenizer() });
const byteToken = (byte: number) => 3 + byte;

function pieces(tokenizer: Tokenizer, ids: readonly number[], options?: TextStreamOptions): string[] {
  const stream = new TextStream(tokenizer, options);
  return [...ids.map((id) => stream.push(id)), stream.flush()];
}

// Every length of UTF-8, white space, the mark for a space, the replacement character and the byte order mark.
const chars = ['a', 'b', 'ab', ' ', '\n', '1', 'é', '€', '😀', '▁', '\uFFFD', '\uFEFF'];
const anyText = fc.array(fc.constantFrom(...chars), { maxLength: 20 }).map((parts) => parts.join(''));

describe('TextStream', () => {
  it('holds a character back until it is whole', () => {
    expect(pieces(bytes, bytes.encode('h€'))).toEqual(['h', '', '', '€', '']);
    expect(pieces(fallback, [0xe2, 0x82, 0xac].map(byteToken))).toEqual(['', '', '€', '']);
  });

  it('gives broken bytes out when something else follows, or at the end', () => {
    expect(pieces(bytes, [...bytes.encode('€').slice(0, 2), 259])).toEqual(['', '', '\uFFFDhello', '']);
    expect(pieces(bytes, bytes.encode('€').slice(0, 2))).toEqual(['', '', '\uFFFD']);
  });

  it('does not repeat the prompt, and keeps the space that joins it', () => {
    const [first, second] = [fallback.encode('ab', { addSpecialTokens: false })[0]!, 264];
    expect(pieces(fallback, [first])).toEqual(['ab', '']);
    expect(pieces(fallback, [second], { promptIds: [1, first] })).toEqual([' ab', '']);
  });

  it('completes a character the prompt began', () => {
    const ids = bytes.encode('€');
    expect(pieces(bytes, ids.slice(2), { promptIds: ids.slice(0, 2) })).toEqual(['€', '']);
  });

  it('cuts a long prompt short without a difference', () => {
    const promptIds = Array.from({ length: 5000 }, () => 264);
    expect(pieces(fallback, [264], { promptIds })).toEqual([' ab', '']);
  });

  it('goes on from the held-back tokens where a run proves invalid after it was shown', () => {
    const ids = [0xe2, 0x82, 0xac, 0xff].map(byteToken);
    expect(pieces(fallback, [...ids, 264])).toEqual(['', '', '€', '', '\uFFFD ab', '']);
    expect(fallback.decode([...ids, 264])).toBe('\uFFFD\uFFFD\uFFFD\uFFFD ab');
  });

  it('leaves special tokens out where told to', () => {
    expect(pieces(bytes, [259, 262], { skipSpecialTokens: true })).toEqual(['hello', '', '']);
  });

  it('costs the same for every token, also where nothing becomes final', async () => {
    const endless = Array.from({ length: 200_000 }, () => byteToken(0xff));
    const raw = endless.map(() => 0xff);
    const { result, seconds } = await cpuSeconds(() => [pieces(fallback, endless), pieces(bytes, raw)]);
    for (const each of result) expect(each.join('')).toHaveLength(endless.length);
    expect(seconds).toBeLessThan(20);
  });

  it('gives in pieces what decode gives at once', () => {
    const anyIds = fc.array(fc.integer({ min: 0, max: 270 }), { maxLength: 40 });
    fc.assert(
      fc.property(anyIds, fc.boolean(), (ids, skipSpecialTokens) => {
        expect(pieces(bytes, ids, { skipSpecialTokens }).join('')).toBe(bytes.decode(ids, { skipSpecialTokens }));
      }),
      { numRuns: 1000 },
    );
  });

  it('does so with byte fallback for any text, and for any tokens never takes back what it showed', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const ids = fallback.encode(text);
        expect(pieces(fallback, ids).join('')).toBe(fallback.decode(ids));
      }),
    );
    const brokenIds = fc.array(fc.constantFrom(264, 260, ...[0x41, 0xc3, 0xa9, 0xff].map(byteToken)), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(brokenIds, (ids) => {
        const out = pieces(fallback, ids).join('');
        const whole = fallback.decode(ids);
        // Where they differ, the stream has shown characters of a run that the whole decode gives up on.
        if (out !== whole) expect(whole.split('\uFFFD').length).toBeGreaterThan(out.split('\uFFFD').length);
      }),
      { numRuns: 1000 },
    );
  });
});
