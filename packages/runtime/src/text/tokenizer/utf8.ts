/** Whether bytes are UTF-8 as they stand, could become so with more bytes, or never. */
export function utf8State(bytes: readonly number[]): 'valid' | 'incomplete' | 'invalid' {
  let i = 0;
  while (i < bytes.length) {
    const lead = bytes[i++]!;
    if (lead < 0x80) continue;
    const following =
      lead >= 0xc2 && lead <= 0xdf ? 1 : (lead & 0xf0) === 0xe0 ? 2 : lead >= 0xf0 && lead <= 0xf4 ? 3 : 0;
    if (following === 0) return 'invalid';
    for (let n = 0; n < following; n++) {
      if (i === bytes.length) return 'incomplete';
      // The first byte after some leads is narrower: no overlong forms, no surrogates, nothing above U+10FFFF.
      const low = n > 0 ? 0x80 : lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
      const high = n > 0 ? 0xbf : lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
      const byte = bytes[i++]!;
      if (byte < low || byte > high) return 'invalid';
    }
  }
  return 'valid';
}
