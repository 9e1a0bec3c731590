/** A line of a file, without its line break. */
export interface Line {
  /** From 1. */
  readonly number: number;
  /** Where it begins in the file. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** A line break follows; false only for the last one. */
  readonly ended: boolean;
}

/** A long document in a request's body; what is larger is no line of a batch, and must not fill the memory. */
export const MOST_LINE_BYTES = 256 * 2 ** 20;

const LINE_FEED = 0x0a;

/**
 * Lines of a stream of bytes, as they are asked for; only `\n` ends one (JSON may hold U+2028, at which Node's readline
 * breaks). Of a line of more than `most` bytes one byte more than that is kept.
 */
export async function* splitLines(
  chunks: AsyncIterable<Uint8Array>,
  most = MOST_LINE_BYTES,
): AsyncGenerator<Line, void> {
  let parts: Uint8Array[] = [];
  let held = 0;
  let length = 0;
  let number = 1;
  let offset = 0;
  const add = (part: Uint8Array) => {
    const kept = part.subarray(0, most + 1 - held);
    if (kept.length > 0) parts.push(kept);
    held += kept.length;
    length += part.length;
  };
  const take = (ended: boolean): Line => {
    const line = { number, offset, bytes: parts.length === 1 ? parts[0]! : Buffer.concat(parts), ended };
    number++;
    offset += length + 1;
    parts = [];
    held = 0;
    length = 0;
    return line;
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, from)) {
      add(chunk.subarray(from, end));
      from = end + 1;
      yield take(true);
    }
    add(chunk.subarray(from));
  }
  if (length > 0) yield take(false);
}

/** What programs of Windows put before UTF-8, and JSON does not allow. */
const BYTE_ORDER_MARK = Buffer.of(0xef, 0xbb, 0xbf);

/**
 * The bytes of a stream's lines, for {@link runBatch}: read as they are needed, whatever the stream's size. A byte order
 * mark before the first is no part of it.
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  for await (const { number, bytes } of splitLines(chunks)) {
    const marked = number === 1 && BYTE_ORDER_MARK.equals(bytes.subarray(0, BYTE_ORDER_MARK.length));
    yield marked ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes;
  }
}
