/** Rows of codes of a few bits, each row beginning with a word of its own. */
export interface BitRows {
  /** Of a code, 1 to 8. */
  readonly bits: number;
  /** 32-bit words of a row. */
  readonly rowWords: number;
  /** Codes in a word where none may lie in two; absent: they follow each other, across words. */
  readonly perWord?: number;
}

export interface UnpackOptions {
  readonly rows: number;
  /** Codes of a row; even for a `width` of 4. */
  readonly columns: number;
  /** Bits of a code as it is written: two to a byte, the even one low, or a byte each. */
  readonly width: 4 | 8;
  /** Column j of the result is column `order[j]`. */
  readonly order?: Int32Array | undefined;
}

/** Codes of the given rows, low bits first. `bytes` hold these rows and nothing else, at any address. */
export function unpackBits(packing: BitRows, bytes: Uint8Array, options: UnpackOptions, out: Uint8Array): void {
  const { rowWords, perWord, bits } = packing;
  const { rows, columns, width, order } = options;
  // One word more, so that the last code may look behind itself.
  const words = new Uint32Array(rows * rowWords + 1);
  new Uint8Array(words.buffer).set(bytes);
  const direct = perWord === undefined && order === undefined;
  const quads = (columns + 3) >> 2;
  const fields = new Uint32Array(quads);
  const codes = new Uint8Array(fields.buffer);
  const nibbles = new Uint16Array(quads);
  const pairs = new Uint8Array(nibbles.buffer);
  const rowBytes = (columns * width) / 8;
  for (let row = 0; row < rows; row++) {
    const first = row * rowWords;
    const at = row * rowBytes;
    if (direct && width === 4) {
      nibblesOf(words, first, bits, nibbles);
      out.set(rowBytes === pairs.length ? pairs : pairs.subarray(0, rowBytes), at);
      continue;
    }
    if (perWord === undefined) bytesOf(words, first, bits, fields);
    else wholeOf(words, first, { bits, perWord, columns }, codes);
    if (order === undefined && width === 8) out.set(columns === codes.length ? codes : codes.subarray(0, columns), at);
    else if (order === undefined) joinPairs(codes, out.subarray(at, at + rowBytes));
    else if (width === 8) gather(codes, order, out, at);
    else gatherPairs(codes, order, out, at);
  }
}

/** A dense stream, four codes at a time, as four bytes each. */
function bytesOf(words: Uint32Array, first: number, bits: number, out: Uint32Array): void {
  const run = 4 * bits;
  const apart = 8 - bits;
  const mask = 2 ** bits - 1;
  const [mask1, mask2, mask3] = [mask << 8, mask << 16, mask << 24];
  for (let i = 0, bit = 0; i < out.length; i++, bit += run) {
    const v = fieldsAt(words, first, bit, run);
    out[i] = (v & mask) | ((v << apart) & mask1) | ((v << (2 * apart)) & mask2) | ((v << (3 * apart)) & mask3);
  }
}

/** The same, as four nibbles; codes of up to 4 bits. */
function nibblesOf(words: Uint32Array, first: number, bits: number, out: Uint16Array): void {
  const run = 4 * bits;
  const apart = 4 - bits;
  const mask = 2 ** bits - 1;
  const [mask1, mask2, mask3] = [mask << 4, mask << 8, mask << 12];
  for (let i = 0, bit = 0; i < out.length; i++, bit += run) {
    const v = fieldsAt(words, first, bit, run);
    out[i] = (v & mask) | ((v << apart) & mask1) | ((v << (2 * apart)) & mask2) | ((v << (3 * apart)) & mask3);
  }
}

/** The 32 bits from `bit` on, of which the first `run` are right. */
function fieldsAt(words: Uint32Array, first: number, bit: number, run: number): number {
  const word = first + (bit >> 5);
  const shift = bit & 31;
  const low = words[word]! >>> shift;
  return shift + run > 32 ? low | (words[word + 1]! << (32 - shift)) : low;
}

function wholeOf(
  words: Uint32Array,
  first: number,
  { bits, perWord, columns }: { bits: number; perWord: number; columns: number },
  out: Uint8Array,
): void {
  const mask = 2 ** bits - 1;
  for (let k = 0, word = first; k < columns; word++) {
    const end = Math.min(columns, k + perWord);
    for (let v = words[word]!; k < end; v >>>= bits) out[k++] = v & mask;
  }
}

function joinPairs(codes: Uint8Array, out: Uint8Array): void {
  for (let i = 0; i < out.length; i++) out[i] = codes[2 * i]! | (codes[2 * i + 1]! << 4);
}

function gather(codes: Uint8Array, order: Int32Array, out: Uint8Array, at: number): void {
  for (let i = 0; i < order.length; i++) out[at + i] = codes[order[i]!]!;
}

function gatherPairs(codes: Uint8Array, order: Int32Array, out: Uint8Array, at: number): void {
  for (let i = 0; i < order.length; i += 2) out[at++] = codes[order[i]!]! | (codes[order[i + 1]!]! << 4);
}
