const EMPTY_SLOTS = 1024;

/** One more than the highest id: no model comes near, a damaged id must not allocate gigabytes (known: 262,145 tokens). */
export const TOKEN_IDS = 2 ** 22;

export function isTokenId(id: unknown): id is number {
  return Number.isInteger(id) && (id as number) >= 0 && (id as number) < TOKEN_IDS;
}

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
  /**
   * id + 1 by the hash of its token, open addressing; 0 is empty. Made when first asked for: in one go over tokens that
   * lie in order it takes a fraction of the time that single additions do.
   */
  private slots: Int32Array<ArrayBuffer> | undefined;
  private filled = 0;
  private count = 0;
  private scratch = new Uint8Array(64);

  /** @param expected About how many tokens will come; more and fewer are fine. */
  constructor(expected = 0) {
    if (expected <= EMPTY_SLOTS) return;
    this.arena = new Uint8Array(8 * Math.ceil(expected));
    this.spans = new Int32Array(2 * Math.ceil(expected));
  }

  /** One more than the highest id. */
  size = 0;

  add(token: string, id: number): void {
    const length = this.encode(token);
    this.addBytes(this.scratch, 0, length, id);
  }

  id(token: string): number | undefined {
    const length = this.encode(token);
    return this.idOfJoined(this.scratch, 0, length, this.scratch, 0, 0);
  }

  token(id: number): string | undefined {
    if (!(id >= 0 && id < this.size) || !Number.isInteger(id)) return undefined;
    const end = this.spans[2 * id + 1]!;
    return end === 0 ? undefined : decoder.decode(this.arena.subarray(this.spans[2 * id], end));
  }

  /** Adds a token by its UTF-8 form; one of the same text or the same id is replaced in that direction. */
  addBytes(bytes: Uint8Array, start: number, end: number, id: number): void {
    if (2 * id + 2 > this.spans.length) this.spans = grown(this.spans, Int32Array, 2 * id + 2);
    if (this.spans[2 * id + 1] === 0) this.count++;
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
    this.size = Math.max(this.size, id + 1);
    if (this.slots === undefined) return;
    if (2 * this.filled >= this.slots.length) this.index();
    else this.place(this.slots, id);
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
    const slots = this.slots ?? this.index();
    const mask = slots.length - 1;
    for (let at = finish(hash(b, bStart, bEnd, hash(a, aStart, aEnd))) & mask; ; at = (at + 1) & mask) {
      const id = slots[at]! - 1;
      if (id < 0) return undefined;
      if (this.isJoined(id, a, aStart, aEnd, b, bStart, bEnd)) return id;
    }
  }

  /** Whether the token of this id is what two pieces of bytes are together. */
  isJoined(
    id: number,
    a: Uint8Array,
    aStart: number,
    aEnd: number,
    b: Uint8Array,
    bStart: number,
    bEnd: number,
  ): boolean {
    const { spans, arena } = this;
    const offset = spans[2 * id]!;
    const middle = aEnd - aStart;
    const length = middle + bEnd - bStart;
    if (spans[2 * id + 1]! - offset !== length) return false;
    let i = 0;
    while (i < middle && arena[offset + i] === a[aStart + i]) i++;
    if (i < middle) return false;
    while (i < length && arena[offset + i] === b[bStart + i - middle]) i++;
    return i === length;
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

  /** Whether no two ids have the same text. */
  get isUnambiguous(): boolean {
    if (this.slots === undefined) this.index();
    return !this.hasTwins;
  }
  private hasTwins = false;

  private encode(token: string): number {
    if (this.scratch.length < 3 * token.length) this.scratch = new Uint8Array(6 * token.length);
    return encoder.encodeInto(token, this.scratch).written;
  }

  /** Makes the hash table, with room for as many tokens again as there are. */
  private index(): Int32Array<ArrayBuffer> {
    const slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * Math.max(this.count, EMPTY_SLOTS) + 1)));
    this.filled = 0;
    for (let id = 0; id < this.size; id++) if (this.spans[2 * id + 1] !== 0) this.place(slots, id);
    this.slots = slots;
    return slots;
  }

  /** Puts a token into its slot: of two of the same text the one added last, which lies further behind. */
  private place(slots: Int32Array, id: number): void {
    const { arena, spans } = this;
    const mask = slots.length - 1;
    const start = spans[2 * id]!;
    const end = spans[2 * id + 1]!;
    for (let at = finish(hash(arena, start, end)) & mask; ; at = (at + 1) & mask) {
      const other = slots[at]! - 1;
      if (other < 0) {
        slots[at] = id + 1;
        this.filled++;
        return;
      }
      if (!this.isJoined(other, arena, start, end, arena, 0, 0)) continue;
      if (other !== id) this.hasTwins = true;
      if (spans[2 * other]! <= start) slots[at] = id + 1;
      return;
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
