/**
 * GPT-2's way to write bytes as printable characters: those that print stand for themselves, the rest for U+0100 on.
 * (https://github.com/openai/gpt-2, `bytes_to_unicode`.)
 */
const printable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

const CHAR_OF_BYTE: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

const BYTE_OF_CHAR = new Map(CHAR_OF_BYTE.map((char, byte) => [char.charCodeAt(0), byte]));

const encoder = new TextEncoder();

/** The bytes of a text's UTF-8 form, each written as its character. */
export function toByteChars(text: string): string {
  let out = '';
  for (const byte of encoder.encode(text)) out += CHAR_OF_BYTE[byte];
  return out;
}

/** The bytes a token stands for; a token with any other character stands for its own UTF-8 form, as in Rust. */
export function pushBytes(token: string, bytes: number[]): void {
  const start = bytes.length;
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF_CHAR.get(token.charCodeAt(i));
    if (byte === undefined) {
      bytes.length = start;
      for (const own of encoder.encode(token)) bytes.push(own);
      return;
    }
    bytes.push(byte);
  }
}
