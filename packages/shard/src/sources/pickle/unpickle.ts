import { CONVERT, printable, refuse } from './errors';
import { OP, opcodeName } from './opcodes';
import { PickleCursor, PickleFault } from './pickle-cursor';
import { type DictKey, describe, isKind, type PickleGlobal, type PickleTuple, type PickleValue } from './values';

/** Real ones hold about 200 bytes per tensor; the largest single files have some thousand tensors. */
export const MAX_PICKLE_BYTES = 8 * 2 ** 20;
/** Estimated bytes of everything one pickle makes, what it throws away again included; a tensor takes about 1 KB. */
const MAX_VALUE_BYTES = 20 * 2 ** 20;
/** Python writes containers in batches of 1000. */
const MAX_STACK = 65_536;
/** Sizes and strides of a refused view may be long. */
const MAX_REASON = 400;

/** What a pickle's names, persistent ids and calls mean. All of it throws `PickleFault` or a public error. */
export interface PickleHost {
  /** Throws `UnsafePickleError` for whatever is not on its list. */
  global(module: string, name: string): PickleGlobal;
  persistent(id: PickleValue): PickleValue;
  call(callee: PickleGlobal, args: PickleTuple): PickleValue;
  /** `__setstate__`: only looks, since no attribute is needed. */
  build(target: PickleValue, state: PickleValue): void;
}

export interface PickleSource {
  readonly file: string;
  readonly bytes: Uint8Array;
  /** Where in the file `bytes` begin, for messages. */
  readonly fileOffset: number;
}

/**
 * Interprets the pickle that begins at `start` and returns what it made and where it ended. Executes nothing: the only
 * operations are building plain data and what the host answers. Time is linear in the bytes, memory bounded.
 *
 * Throws `FormatError`; `PickleEnd` if the bytes end before the pickle; `UnsafePickleError` from the host.
 */
export function unpickle(source: PickleSource, start: number, host: PickleHost): { value: PickleValue; end: number } {
  const cursor = new PickleCursor(source.bytes, start, MAX_PICKLE_BYTES);
  try {
    const value = new Unpickler(cursor, host).run();
    return { value, end: cursor.at };
  } catch (error) {
    if (!(error instanceof PickleFault)) throw error;
    const at = source.fileOffset + cursor.at;
    const reason = printable(error.reason, MAX_REASON);
    return refuse(source.file, `its pickle, near byte ${at}: ${reason}`, error.advice);
  }
}

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

class Unpickler {
  readonly #cursor: PickleCursor;
  readonly #host: PickleHost;
  readonly #stack: PickleValue[] = [];
  /** Heights of the stack at each open MARK. */
  readonly #marks: number[] = [];
  readonly #memo = new Memo();
  #bytesLeft = MAX_VALUE_BYTES;

  constructor(cursor: PickleCursor, host: PickleHost) {
    this.#cursor = cursor;
    this.#host = host;
  }

  run(): PickleValue {
    for (;;) {
      const opcode = this.#cursor.uint8();
      if (opcode === OP.STOP) return this.#pop();
      if (!this.#structure(opcode) && !this.#object(opcode)) this.#push(this.#scalar(opcode));
    }
  }

  /** Stack, memo and containers. */
  #structure(opcode: number): boolean {
    const cursor = this.#cursor;
    switch (opcode) {
      case OP.PROTO: {
        const protocol = cursor.uint8();
        if (protocol > 5) this.#fail(`protocol ${protocol}; 0 to 5 are known`);
        return true;
      }
      case OP.FRAME:
        // Frames only help a reader to buffer.
        cursor.length64();
        return true;
      case OP.MARK:
        if (this.#marks.length >= MAX_STACK) this.#fail(`more than ${MAX_STACK} marks`);
        this.#marks.push(this.#stack.length);
        return true;
      case OP.POP:
        if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
        else this.#pop();
        return true;
      case OP.POP_MARK:
        this.#popMark();
        return true;
      case OP.DUP:
        this.#push(this.#top());
        return true;
      case OP.PUT:
        return this.#remember(Number(cursor.decimal()));
      case OP.BINPUT:
        return this.#remember(cursor.uint8());
      case OP.LONG_BINPUT:
        return this.#remember(cursor.uint32());
      case OP.MEMOIZE:
        return this.#remember(this.#memo.size);
      case OP.GET:
        return this.#recall(Number(cursor.decimal()));
      case OP.BINGET:
        return this.#recall(cursor.uint8());
      case OP.LONG_BINGET:
        return this.#recall(cursor.uint32());
      case OP.APPEND:
        return this.#append([this.#pop()]);
      case OP.APPENDS:
        return this.#append(this.#popMark());
      case OP.SETITEM: {
        const value = this.#pop();
        return this.#setItems([this.#pop(), value]);
      }
      case OP.SETITEMS:
        return this.#setItems(this.#popMark());
      case OP.DICT: {
        const items = this.#popMark();
        this.#push(this.#dict());
        return this.#setItems(items);
      }
      default:
        return false;
    }
  }

  /** Names and what is made of them: here a pickle that runs code would begin to. */
  #object(opcode: number): boolean {
    const cursor = this.#cursor;
    switch (opcode) {
      case OP.GLOBAL: {
        const module = cursor.line();
        this.#push(this.#global(module, cursor.line()));
        return true;
      }
      case OP.STACK_GLOBAL: {
        const name = this.#pop();
        const module = this.#pop();
        if (typeof name !== 'string' || typeof module !== 'string') this.#fail('STACK_GLOBAL without two strings');
        this.#push(this.#global(module, name));
        return true;
      }
      case OP.INST: {
        // Asked first, so that the refusal says what would have been called.
        const module = cursor.line();
        const { name } = this.#global(module, cursor.line());
        return this.#fail(`INST makes an object of ${name}; no writer of checkpoints does that`);
      }
      case OP.OBJ:
        return this.#fail(`OBJ makes an object of ${describe(this.#popMark()[0] ?? null)}`);
      case OP.NEWOBJ:
        this.#pop();
        return this.#fail(`NEWOBJ makes an object of ${describe(this.#pop())}`);
      case OP.REDUCE: {
        const args = this.#pop();
        const callee = this.#pop();
        if (!isKind(callee, 'global')) this.#fail(`REDUCE calls ${describe(callee)}`);
        if (!isKind(args, 'tuple')) this.#fail(`${callee.name} is called with ${describe(args)}`);
        this.#spend(args.items.length === 0 ? 64 : 200);
        this.#push(this.#host.call(callee, args));
        return true;
      }
      case OP.BUILD: {
        const state = this.#pop();
        this.#host.build(this.#top(), state);
        return true;
      }
      case OP.BINPERSID:
        this.#spend(200);
        this.#push(this.#host.persistent(this.#pop()));
        return true;
      default:
        return false;
    }
  }

  #scalar(opcode: number): PickleValue {
    const cursor = this.#cursor;
    this.#spend(16);
    switch (opcode) {
      case OP.NONE:
        return null;
      case OP.NEWTRUE:
        return true;
      case OP.NEWFALSE:
        return false;
      case OP.INT:
        return this.#intLine();
      case OP.LONG:
        this.#spend(48);
        return cursor.decimal();
      case OP.BININT:
        return cursor.int32();
      case OP.BININT1:
        return cursor.uint8();
      case OP.BININT2:
        return cursor.uint16();
      case OP.LONG1:
        return this.#long(cursor.uint8());
      case OP.LONG4:
        return this.#long(cursor.uint32());
      case OP.BINFLOAT:
        return cursor.float64();
      case OP.STRING:
        return this.#quotedLine();
      case OP.SHORT_BINSTRING:
      case OP.SHORT_BINUNICODE:
        return this.#text(cursor.uint8());
      case OP.BINSTRING:
      case OP.BINUNICODE:
        return this.#text(cursor.uint32());
      case OP.BINUNICODE8:
        return this.#text(cursor.length64());
      case OP.EMPTY_LIST:
        return this.#list([]);
      case OP.LIST:
        return this.#list(this.#popMark());
      case OP.EMPTY_DICT:
        return this.#dict();
      case OP.EMPTY_TUPLE:
        return this.#tuple([]);
      case OP.TUPLE:
        return this.#tuple(this.#popMark());
      case OP.TUPLE1:
        return this.#tuple([this.#pop()]);
      case OP.TUPLE2:
        return this.#tuple([this.#pop(), this.#pop()].reverse());
      case OP.TUPLE3:
        return this.#tuple([this.#pop(), this.#pop(), this.#pop()].reverse());
      default:
        return this.#fail(`opcode ${opcodeName(opcode)}, which no checkpoint of weights needs`);
    }
  }

  #global(module: string, name: string): PickleGlobal {
    this.#spend(64);
    return this.#host.global(module, name);
  }

  /** Protocol 0 writes booleans as these two numbers. */
  #intLine(): number | bigint | boolean {
    this.#spend(48);
    const at = this.#cursor.at;
    const line = this.#cursor.line();
    if (line === '00' || line === '01') return line === '01';
    this.#cursor.at = at;
    return this.#cursor.decimal();
  }

  #quotedLine(): string {
    const match = /^(['"])([^\\]*)\1$/.exec(this.#cursor.line());
    if (match === null) this.#fail('a quoted string with escapes, or without quotes');
    this.#spend(2 * match[2]!.length);
    return match[2]!;
  }

  #long(length: number): number | bigint {
    this.#spend(32);
    return this.#cursor.long(length);
  }

  #text(length: number): string {
    this.#spend(32 + 2 * length);
    return this.#cursor.text(length);
  }

  #tuple(items: PickleValue[]): PickleTuple {
    this.#spend(72 + 8 * items.length);
    return { kind: 'tuple', items };
  }

  #list(items: PickleValue[]): PickleValue {
    this.#spend(48 + 8 * items.length);
    return { kind: 'list', items };
  }

  #dict(): PickleValue {
    this.#spend(48);
    return { kind: 'dict', ordered: false, entries: null };
  }

  #append(items: readonly PickleValue[]): true {
    const list = this.#top();
    if (!isKind(list, 'list')) this.#fail(`items are appended to ${describe(list)}`);
    this.#spend(24 * items.length);
    for (const item of items) list.items.push(item);
    return true;
  }

  #setItems(items: readonly PickleValue[]): true {
    const dict = this.#top();
    if (!isKind(dict, 'dict')) this.#fail(`items are set in ${describe(dict)}`);
    if (items.length % 2 !== 0) this.#fail('a key without a value');
    this.#spend(64 * (items.length / 2) + (dict.entries === null ? 200 : 0));
    dict.entries ??= new Map();
    for (let i = 0; i < items.length; i += 2) {
      const key = this.#key(items[i]!);
      if (dict.entries.has(key)) this.#fail(`the key ${JSON.stringify(String(key).slice(0, 200))} occurs twice`);
      dict.entries.set(key, items[i + 1]!);
    }
    return true;
  }

  #key(value: PickleValue): DictKey {
    if (typeof value === 'object' && value !== null) return this.#fail(`${describe(value)} as a key`);
    return value;
  }

  #remember(index: number): true {
    if (!Number.isSafeInteger(index) || index < 0) this.#fail('a memo index that is no count');
    this.#spend(this.#memo.set(index, this.#top()));
    return true;
  }

  #recall(index: number): true {
    const value = this.#memo.get(index);
    if (value === undefined) this.#fail(`memo entry ${index} is used before it is set`);
    this.#push(value);
    return true;
  }

  #push(value: PickleValue): void {
    if (this.#stack.length >= MAX_STACK) this.#fail(`more than ${MAX_STACK} values on the stack`);
    this.#stack.push(value);
  }

  #pop(): PickleValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  /** Values below the last mark are out of reach, as in Python. */
  #top(): PickleValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) this.#fail('a value is taken from an empty stack');
    return this.#stack.at(-1)!;
  }

  #popMark(): PickleValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) this.#fail('a mark is missing');
    return this.#stack.splice(mark);
  }

  #spend(bytes: number): void {
    this.#bytesLeft -= bytes;
    if (this.#bytesLeft < 0) this.#cursor.fail(`it makes more than ${MAX_VALUE_BYTES} bytes of values`, CONVERT);
  }

  #fail(reason: string): never {
    return this.#cursor.fail(reason);
  }
}
