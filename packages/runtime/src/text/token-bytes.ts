import type { Tokenizer } from './tokenizer';
import { pushBytes } from './tokenizer/byte-level';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/**
 * What single tokens stand for, apart from their neighbours: a token may be a part of a character, or begin with a space
 * that a decoder drops at the start of a text.
 */
export class TokenBytes {
  readonly #tokenizer: Tokenizer;
  /** Tokens are written in GPT-2's characters for bytes; else as text, with ▁ for a space and `<0xAB>` for a byte. */
  readonly #byteLevel: boolean;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    const lineBreak = tokenizer.encode('\n', { addSpecialTokens: false });
    this.#byteLevel = lineBreak.some((id) => tokenizer.idToToken(id)?.includes('Ċ'));
  }

  /** UTF-8, possibly incomplete; empty for an unknown id. */
  bytes(id: number): Uint8Array {
    const token = this.#tokenizer.idToToken(id);
    if (token === undefined) return new Uint8Array();
    if (this.#byteLevel) {
      const bytes: number[] = [];
      pushBytes(token, bytes);
      return Uint8Array.from(bytes);
    }
    const byte = BYTE_TOKEN.exec(token)?.[1];
    if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
    return encoder.encode(token.replaceAll('▁', ' '));
  }

  /** U+FFFD for bytes that are not whole characters. */
  text(id: number): string {
    return decoder.decode(this.bytes(id));
  }
}
