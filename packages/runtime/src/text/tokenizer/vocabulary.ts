const EMPTY_SLOTS = 1024;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Tokens and their ids, both ways, as UTF-8 in one buffer with a hash table over it: some 25 bytes a token, where a Map
 * and strings take 100 and more. Vocabularies have up to 262k tokens, and memory is what this project has least of.
 */
export class Vocabulary {
  private arena = new Uint8Array(8 * EMPTY_SLOTS);
  private used = 0;
  /** Where the token of an id begins and ends in the arena; both 0 where there is none. */
  private spans = new Int32Array(2 * EMPTY_SLOTS);
  /** id + 1 by the hash of its token, open addressing; 0 is empty. */
  private slots = new Int32Array(2 * EMPTY_SLOTS);
  private filled = 0;
  private scratch = new Uint8Array(64);

  /** @param expected About how many tokens will come; more and fewer are fine. */
  constructor(expected = 0) {
    if (expected <= EMPTY_SLOTS) return;
    this.arena = new Uint8Array(8 * expected);
    this.spans = new Int32Array(2 * expected);
    this.slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * expected + 1)));
  }

  /** One more than the highest id. */
  size = 0;

  add(token: string, id: number): void {
    const length = this.encode(token);
    this.addBytes(this.scratch, 0, length, id);
  }

  id(token: string): number | undefined {
    const length = this.encode(token);
    return this.idOfBytes(this.scratch, 0, length);
  }

  token(id: number): string | undefined {
    if (!(id >= 0 && id < this.size) || !Number.isInteger(id)) return undefined;
    const end = this.spans[2 * id + 1]!;
    return end === 0 ? undefined : decoder.decode(this.arena.subarray(this.spans[2 * id], end));
  }

  /** Adds a token by its UTF-8 form; one of the same text or the same id is replaced in that direction. */
  addBytes(bytes: Uint8Array, start: number, end: number, id: number): void {
    if (2 * this.filled >= this.slots.length) this.rehash();
    if (2 * id + 2 > this.spans.length) this.spans = grown(this.spans, Int32Array, 2 * id + 2);
    const at = this.slot(bytes, start, end);
    if (this.slots[at] === 0) this.filled++;
    // Byte 0 is left free, so that an end of 0 says that there is no token.
    if (this.used === 0) this.used = 1;
    const offset = this.used;
    this.used += end - start;
    if (this.used > this.arena.length) this.arena = grown(this.arena, Uint8Array, this.used);
    // A view for `set` would cost more than these few bytes.
    const { arena } = this;
    for (let i = start; i < end; i++) arena[offset + i - start] = bytes[i]!;
    this.spans[2 * id] = offset;
    this.spans[2 * id + 1] = this.used;
    this.slots[at] = id + 1;
    this.size = Math.max(this.size, id + 1);
  }

  idOfBytes(bytes: Uint8Array, start: number, end: number): number | undefined {
    const id = this.slots[this.slot(bytes, start, end)]! - 1;
    return id < 0 ? undefined : id;
  }

  /** The id of the token that two pieces of bytes are together. */
  idOfJoined(
    a: Uint8Array,
    aStart: number,
    aEnd: number,
    b: Uint8Array,
    bStart: number,
    bEnd: number,
  ): number | undefined {
    const { slots, spans, arena } = this;
    const mask = slots.length - 1;
    const middle = aEnd - aStart;
    const length = middle + bEnd - bStart;
    for (let at = finish(hash(b, bStart, bEnd, hash(a, aStart, aEnd))) & mask; ; at = (at + 1) & mask) {
      const id = slots[at]! - 1;
      if (id < 0) return undefined;
      const offset = spans[2 * id]!;
      if (spans[2 * id + 1]! - offset !== length) continue;
      let i = 0;
      while (i < middle && arena[offset + i] === a[aStart + i]) i++;
      if (i < middle) continue;
      while (i < length && arena[offset + i] === b[bStart + i - middle]) i++;
      if (i === length) return id;
    }
  }

  /** The same for two known tokens, of which the right one loses the first `skipped` bytes. */
  idOfPair(left: number, right: number, skipped: number): number | undefined {
    const { arena, spans } = this;
    const end = spans[2 * right + 1]!;
    const start = Math.min(end, spans[2 * right]! + skipped);
    return this.idOfJoined(arena, spans[2 * left]!, spans[2 * left + 1]!, arena, start, end);
  }

  byteLength(id: number): number {
    return this.spans[2 * id + 1]! - this.spans[2 * id]!;
  }

  private encode(token: string): number {
    if (this.scratch.length < 3 * token.length) this.scratch = new Uint8Array(6 * token.length);
    return encoder.encodeInto(token, this.scratch).written;
  }

  /** The slot of a token, or the empty one where it belongs. */
  private slot(bytes: Uint8Array, start: number, end: number): number {
    const mask = this.slots.length - 1;
    for (let at = finish(hash(bytes, start, end)) & mask; ; at = (at + 1) & mask) {
      const id = this.slots[at]! - 1;
      if (id < 0 || this.holds(id, bytes, start, end)) return at;
    }
  }

  private holds(id: number, bytes: Uint8Array, start: number, end: number): boolean {
    const offset = this.spans[2 * id]!;
    if (this.spans[2 * id + 1]! - offset !== end - start) return false;
    for (let i = start; i < end; i++) if (this.arena[offset + i - start] !== bytes[i]) return false;
    return true;
  }

  private rehash(): void {
    const old = this.slots;
    this.slots = new Int32Array(2 * old.length);
    for (const entry of old) {
      if (entry === 0) continue;
      const [start, end] = [this.spans[2 * entry - 2]!, this.spans[2 * entry - 1]!];
      this.slots[this.slot(this.arena, start, end)] = entry;
    }
  }
}

/** FNV-1a, from its start or going on. */
function hash(bytes: Uint8Array, start: number, end: number, from = 0x811c9dc5): number {
  let h = from;
  for (let i = start; i < end; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return h;
}

/** The low bits alone are not mixed well enough. */
function finish(h: number): number {
  return (h ^ (h >>> 15)) >>> 0;
}

function grown<T extends Uint8Array | Int32Array>(array: T, make: new (length: number) => T, atLeast: number): T {
  const larger = new make(Math.max(2 * array.length, atLeast));
  larger.set(array as never);
  return larger;
}
