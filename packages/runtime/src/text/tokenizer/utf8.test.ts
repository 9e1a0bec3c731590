import fc from 'fast-check';
import { expect, it } from 'vitest';
import { utf8State } from './utf8';

it('agrees with TextDecoder', () => {
  const accepts = (bytes: number[], stream: boolean) => {
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes), { stream });
      return true;
    } catch {
      return false;
    }
  };
  // Bytes on the borders of the rules, so that every rule is met.
  const border = [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...border), { maxLength: 6 }), (bytes) => {
      const expected = accepts(bytes, false) ? 'valid' : accepts(bytes, true) ? 'incomplete' : 'invalid';
      expect(utf8State(bytes)).toBe(expected);
    }),
    { numRuns: 1000 },
  );
});
