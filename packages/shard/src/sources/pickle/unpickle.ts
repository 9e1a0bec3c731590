import { printable, refuse } from './errors';
import { OP, opcodeName } from './opcodes';
import { PickleCursor } from './pickle-cursor';
import { fault, PickleFault } from './pickle-fault';
import { PickleState } from './pickle-state';
import { describe, isKind, type PickleGlobal, type PickleTuple, type PickleValue } from './values';

/** Real ones hold about 200 bytes per tensor; the largest single files have some thousand tensors. */
export const MAX_PICKLE_BYTES = 8 * 2 ** 20;
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

class Unpickler {
  readonly #cursor: PickleCursor;
  readonly #host: PickleHost;
  readonly #state = new PickleState();

  constructor(cursor: PickleCursor, host: PickleHost) {
    this.#cursor = cursor;
    this.#host = host;
  }

  run(): PickleValue {
    for (;;) {
      const opcode = this.#cursor.uint8();
      if (opcode === OP.STOP) return this.#state.pop();
      if (!this.#structure(opcode) && !this.#object(opcode)) this.#state.push(this.#scalar(opcode));
    }
  }

  /** Stack, memo and containers. */
  #structure(opcode: number): boolean {
    const cursor = this.#cursor;
    const state = this.#state;
    switch (opcode) {
      case OP.PROTO: {
        const protocol = cursor.uint8();
        if (protocol > 5) fault(`protocol ${protocol}; 0 to 5 are known`);
        return true;
      }
      case OP.FRAME:
        // Frames only help a reader to buffer.
        cursor.length64();
        return true;
      case OP.MARK:
        return state.mark();
      case OP.POP:
        return state.discard();
      case OP.POP_MARK:
        state.popMark();
        return true;
      case OP.DUP:
        state.push(state.top());
        return true;
      case OP.PUT:
        return state.remember(Number(cursor.decimal()));
      case OP.BINPUT:
        return state.remember(cursor.uint8());
      case OP.LONG_BINPUT:
        return state.remember(cursor.uint32());
      case OP.MEMOIZE:
        return state.memoize();
      case OP.GET:
        return state.recall(Number(cursor.decimal()));
      case OP.BINGET:
        return state.recall(cursor.uint8());
      case OP.LONG_BINGET:
        return state.recall(cursor.uint32());
      case OP.APPEND:
        return state.append([state.pop()]);
      case OP.APPENDS:
        return state.append(state.popMark());
      case OP.SETITEM: {
        const value = state.pop();
        return state.setItems([state.pop(), value]);
      }
      case OP.SETITEMS:
        return state.setItems(state.popMark());
      case OP.DICT: {
        const items = state.popMark();
        state.push(state.dict());
        return state.setItems(items);
      }
      default:
        return false;
    }
  }

  /** Names and what is made of them: here a pickle that runs code would begin to. */
  #object(opcode: number): boolean {
    const cursor = this.#cursor;
    const state = this.#state;
    switch (opcode) {
      case OP.GLOBAL: {
        const module = cursor.line();
        state.push(this.#global(module, cursor.line()));
        return true;
      }
      case OP.STACK_GLOBAL: {
        const name = state.pop();
        const module = state.pop();
        if (typeof name !== 'string' || typeof module !== 'string') fault('STACK_GLOBAL without two strings');
        state.push(this.#global(module, name));
        return true;
      }
      case OP.INST: {
        // Asked first, so that the refusal says what would have been called.
        const module = cursor.line();
        const { name } = this.#global(module, cursor.line());
        return fault(`INST makes an object of ${name}; no writer of checkpoints does that`);
      }
      case OP.OBJ:
        return fault(`OBJ makes an object of ${describe(state.popMark()[0] ?? null)}`);
      case OP.NEWOBJ:
        state.pop();
        return fault(`NEWOBJ makes an object of ${describe(state.pop())}`);
      case OP.REDUCE: {
        const args = state.pop();
        const callee = state.pop();
        if (!isKind(callee, 'global')) fault(`REDUCE calls ${describe(callee)}`);
        if (!isKind(args, 'tuple')) fault(`${callee.name} is called with ${describe(args)}`);
        state.spend(args.items.length === 0 ? 64 : 200);
        state.push(this.#host.call(callee, args));
        return true;
      }
      case OP.BUILD: {
        const attributes = state.pop();
        this.#host.build(state.top(), attributes);
        return true;
      }
      case OP.BINPERSID:
        state.spend(200);
        state.push(this.#host.persistent(state.pop()));
        return true;
      default:
        return false;
    }
  }

  #scalar(opcode: number): PickleValue {
    const cursor = this.#cursor;
    const state = this.#state;
    state.spend(16);
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
        state.spend(48);
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
        return state.list([]);
      case OP.LIST:
        return state.list(state.popMark());
      case OP.EMPTY_DICT:
        return state.dict();
      case OP.EMPTY_TUPLE:
        return state.tuple([]);
      case OP.TUPLE:
        return state.tuple(state.popMark());
      case OP.TUPLE1:
        return state.tuple([state.pop()]);
      case OP.TUPLE2:
        return state.tuple([state.pop(), state.pop()].reverse());
      case OP.TUPLE3:
        return state.tuple([state.pop(), state.pop(), state.pop()].reverse());
      default:
        return fault(`opcode ${opcodeName(opcode)}, which no checkpoint of weights needs`);
    }
  }

  #global(module: string, name: string): PickleGlobal {
    this.#state.spend(64);
    return this.#host.global(module, name);
  }

  /** Protocol 0 writes booleans as these two numbers. */
  #intLine(): number | bigint | boolean {
    this.#state.spend(48);
    const at = this.#cursor.at;
    const line = this.#cursor.line();
    if (line === '00' || line === '01') return line === '01';
    this.#cursor.at = at;
    return this.#cursor.decimal();
  }

  #quotedLine(): string {
    const match = /^(['"])([^\\]*)\1$/.exec(this.#cursor.line());
    if (match === null) fault('a quoted string with escapes, or without quotes');
    this.#state.spend(2 * match[2]!.length);
    return match[2]!;
  }

  #long(length: number): number | bigint {
    this.#state.spend(32);
    return this.#cursor.long(length);
  }

  #text(length: number): string {
    this.#state.spend(32 + 2 * length);
    return this.#cursor.text(length);
  }
}
