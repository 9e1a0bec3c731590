import { CONVERT } from './errors';
import { fault } from './pickle-fault';
import { type DictKey, describe, isKind, type PickleTuple, type PickleValue } from './values';

/** Estimated bytes of everything one pickle makes, what it throws away again included; a tensor takes about 1 KB. */
const MAX_VALUE_BYTES = 20 * 2 ** 20;
/** Python writes containers in batches of 1000. */
const MAX_STACK = 65_536;

/** Values by index. Python counts them from 0, which an array holds in a sixth of a Map's memory. */
class Memo {
  readonly #dense: PickleValue[] = [];
  readonly #sparse = new Map<number, PickleValue>();

  get size(): number {
    return this.#dense.length + this.#sparse.size;
  }

  get(index: number): PickleValue | undefined {
    return index < this.#dense.length ? this.#dense[index] : this.#sparse.get(index);
  }

  /** Returns the bytes it takes. */
  set(index: number, value: PickleValue): number {
    if (index <= this.#dense.length) {
      this.#dense[index] = value;
      return 12;
    }
    this.#sparse.set(index, value);
    return 64;
  }
}

/** Stack, memo and budget of a pickle being read. Everything it throws is a `PickleFault`. */
export class PickleState {
  readonly #stack: PickleValue[] = [];
  /** Heights of the stack at each open MARK. */
  readonly #marks: number[] = [];
  readonly #memo = new Memo();
  #bytesLeft = MAX_VALUE_BYTES;

  mark(): true {
    if (this.#marks.length >= MAX_STACK) fault(`more than ${MAX_STACK} marks`);
    this.#marks.push(this.#stack.length);
    return true;
  }

  /** Forgets the last value, or the last mark if nothing lies above it. */
  discard(): true {
    if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
    else this.pop();
    return true;
  }

  memoize(): true {
    return this.remember(this.#memo.size);
  }

  tuple(items: PickleValue[]): PickleTuple {
    this.spend(72 + 8 * items.length);
    return { kind: 'tuple', items };
  }

  list(items: PickleValue[]): PickleValue {
    this.spend(48 + 8 * items.length);
    return { kind: 'list', items };
  }

  dict(): PickleValue {
    this.spend(48);
    return { kind: 'dict', ordered: false, entries: null };
  }

  append(items: readonly PickleValue[]): true {
    const list = this.top();
    if (!isKind(list, 'list')) fault(`items are appended to ${describe(list)}`);
    this.spend(24 * items.length);
    for (const item of items) list.items.push(item);
    return true;
  }

  setItems(items: readonly PickleValue[]): true {
    const dict = this.top();
    if (!isKind(dict, 'dict')) fault(`items are set in ${describe(dict)}`);
    if (items.length % 2 !== 0) fault('a key without a value');
    this.spend(64 * (items.length / 2) + (dict.entries === null ? 200 : 0));
    dict.entries ??= new Map();
    for (let i = 0; i < items.length; i += 2) {
      const key = this.#key(items[i]!);
      if (dict.entries.has(key)) fault(`the key ${JSON.stringify(String(key).slice(0, 200))} occurs twice`);
      dict.entries.set(key, items[i + 1]!);
    }
    return true;
  }

  #key(value: PickleValue): DictKey {
    if (typeof value === 'object' && value !== null) return fault(`${describe(value)} as a key`);
    return value;
  }

  remember(index: number): true {
    if (!Number.isSafeInteger(index) || index < 0) fault('a memo index that is no count');
    this.spend(this.#memo.set(index, this.top()));
    return true;
  }

  recall(index: number): true {
    const value = this.#memo.get(index);
    if (value === undefined) fault(`memo entry ${index} is used before it is set`);
    this.push(value);
    return true;
  }

  push(value: PickleValue): void {
    if (this.#stack.length >= MAX_STACK) fault(`more than ${MAX_STACK} values on the stack`);
    this.#stack.push(value);
  }

  pop(): PickleValue {
    const value = this.top();
    this.#stack.pop();
    return value;
  }

  /** Values below the last mark are out of reach, as in Python. */
  top(): PickleValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) fault('a value is taken from an empty stack');
    return this.#stack.at(-1)!;
  }

  popMark(): PickleValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) fault('a mark is missing');
    return this.#stack.splice(mark);
  }

  spend(bytes: number): void {
    this.#bytesLeft -= bytes;
    if (this.#bytesLeft < 0) fault(`it makes more than ${MAX_VALUE_BYTES} bytes of values`, CONVERT);
  }
}
