import type { JsonObject } from '../json-file';
import type { MergeTable } from './merge-table';
import type { TokenModel } from './token-model';
import type { Vocabulary } from './vocabulary';

const utf8 = new TextEncoder();

// As many words as the reference library remembers.
const CACHED_WORDS = 10_000;
const CACHED_LENGTH = 256;

/**
 * Byte-pair encoding as the reference library does it, on token ids. @huggingface/tokenizers' own model holds every
 * merge as a JSON string: 100 MB and more for a vocabulary of 128k, against about 8 here.
 */
export class BpeModel implements TokenModel {
  private readonly options: JsonObject;
  private readonly unk: number | undefined;
  private readonly prefix: string;
  private readonly suffix: string;
  private readonly byteIds: readonly (number | undefined)[];
  private readonly cache = new Map<string, readonly number[]>();

  constructor(
    options: JsonObject,
    private readonly merges: MergeTable,
    private readonly vocab: Vocabulary,
  ) {
    this.options = options;
    this.unk = typeof options.unk_token === 'string' ? vocab.id(options.unk_token) : undefined;
    this.prefix = typeof options.continuing_subword_prefix === 'string' ? options.continuing_subword_prefix : '';
    this.suffix = typeof options.end_of_word_suffix === 'string' ? options.end_of_word_suffix : '';
    this.byteIds = Array.from({ length: options.byte_fallback === true ? 256 : 0 }, (_, byte) =>
      vocab.id(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
    );
  }

  encode(word: string, out: number[]): void {
    if (word === '') return;
    if (this.options.ignore_merges === true) {
      const whole = this.vocab.id(word);
      if (whole !== undefined) {
        out.push(whole);
        return;
      }
    }
    let ids = this.cache.get(word);
    if (ids === undefined) {
      ids = this.merge(this.symbols(word));
      if (word.length < CACHED_LENGTH) {
        if (this.cache.size >= CACHED_WORDS) this.cache.clear();
        this.cache.set(word, ids);
      }
    }
    for (const id of ids) out.push(id);
  }

  /** A word's characters as tokens; unknown ones as bytes or the unknown token. */
  private symbols(word: string): number[] {
    const chars = [...word];
    const ids: number[] = [];
    let unknownBefore = false;
    chars.forEach((char, i) => {
      const text = (i > 0 ? this.prefix : '') + char + (i === chars.length - 1 ? this.suffix : '');
      const id = this.vocab.id(text);
      if (id !== undefined) ids.push(id);
      else if (!this.pushBytes(text, ids)) {
        if (this.unk !== undefined && !(unknownBefore && this.options.fuse_unk === true)) ids.push(this.unk);
        unknownBefore = true;
        return;
      }
      unknownBefore = false;
    });
    return ids;
  }

  private pushBytes(text: string, ids: number[]): boolean {
    if (this.byteIds.length === 0) return false;
    const bytes = Array.from(utf8.encode(text), (byte) => this.byteIds[byte]);
    if (bytes.includes(undefined)) return false;
    ids.push(...(bytes as number[]));
    return true;
  }

  /** Merges neighbours, the lowest rank first and of equal ranks the leftmost. */
  private merge(ids: number[]): readonly number[] {
    const n = ids.length;
    const next = ids.map((_, i) => (i + 1 < n ? i + 1 : -1));
    const previous = ids.map((_, i) => i - 1);
    const queue = new MinHeap();
    const offer = (at: number) => {
      const after = at < 0 ? -1 : next[at]!;
      if (after < 0) return;
      const rank = this.merges.rank(ids[at]!, ids[after]!);
      if (rank >= 0) queue.push(rank * POSITIONS + at);
    };
    for (let i = 0; i < n - 1; i++) offer(i);
    for (let key = queue.pop(); key >= 0; key = queue.pop()) {
      const at = key % POSITIONS;
      const rank = Math.floor(key / POSITIONS);
      const after = next[at]!;
      if (ids[at]! < 0 || after < 0) continue;
      // Stale unless the pair that stands here now makes the same token.
      const now = this.merges.rank(ids[at]!, ids[after]!);
      if (now < 0 || this.merges.result(now) !== this.merges.result(rank)) continue;
      ids[at] = this.merges.result(rank);
      ids[after] = GONE;
      next[at] = next[after]!;
      if (next[at]! >= 0) previous[next[at]!] = at;
      offer(previous[at]!);
      offer(at);
    }
    return ids.filter((id) => id !== GONE);
  }
}

const GONE = -1;
// A queue key is rank × this + position: exact in a double up to 2^21 ranks.
const POSITIONS = 2 ** 32;

/** Numbers out in ascending order; -1 when empty. */
class MinHeap {
  private readonly keys: number[] = [];

  push(key: number): void {
    const { keys } = this;
    let at = keys.length;
    keys.push(key);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[at] = keys[parent]!;
      at = parent;
    }
    keys[at] = key;
  }

  pop(): number {
    const { keys } = this;
    const top = keys[0];
    if (top === undefined) return -1;
    const last = keys.pop()!;
    const n = keys.length;
    if (n > 0) {
      let at = 0;
      for (;;) {
        let child = 2 * at + 1;
        if (child >= n) break;
        if (child + 1 < n && keys[child + 1]! < keys[child]!) child++;
        if (keys[child]! >= last) break;
        keys[at] = keys[child]!;
        at = child;
      }
      keys[at] = last;
    }
    return top;
  }
}
