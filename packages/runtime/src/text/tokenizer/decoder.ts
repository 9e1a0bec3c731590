import { ReplaceDecoder } from '@huggingface/tokenizers';
import { TokenizerError } from '../errors';
import { isJsonObject, type JsonObject } from '../json-file';
import { pushBytes } from './byte-level';
import { utf8State } from './utf8';

type Emit = (text: string) => void;

/** One step from tokens to text. It keeps what the next token may still change. */
interface DecoderStep {
  push(token: string, emit: Emit): void;
  /** Gives out what is valid as it stands, for a reader who waits; only a later, broken token could contradict it. */
  settle?(emit: Emit): void;
  /** Gives out everything. */
  flush?(emit: Emit): void;
}

/** Turns the tokens of one text into that text, in any number of calls. */
export class DecoderChain {
  private text = '';
  private readonly emitters: Emit[] = [];

  constructor(private readonly steps: readonly DecoderStep[]) {
    this.emitters = steps.map((_, i) => (text) => this.enter(i + 1, text));
  }

  push(token: string): void {
    this.enter(0, token);
  }

  /** The text since the last call that is valid as it stands. */
  settle(): string {
    for (const [i, step] of this.steps.entries()) step.settle?.(this.emitters[i]!);
    return this.take();
  }

  /** The rest of the text. */
  flush(): string {
    for (const [i, step] of this.steps.entries()) step.flush?.(this.emitters[i]!);
    return this.take();
  }

  private enter(index: number, text: string): void {
    const step = this.steps[index];
    if (step === undefined) this.text += text;
    else step.push(text, this.emitters[index]!);
  }

  private take(): string {
    const { text } = this;
    this.text = '';
    return text;
  }
}

/**
 * Reads the `decoder` of a tokenizer.json and gives a function that starts a fresh chain. The steps follow the
 * reference (Rust) library: @huggingface/tokenizers' own decoders are wrong for broken UTF-8 and cannot be fed token
 * by token.
 *
 * @throws TokenizerError for a decoder that is not implemented.
 */
export function readDecoder(config: unknown, file: string): () => DecoderChain {
  const makers: (() => DecoderStep)[] = [];
  if (config === null || config === undefined) makers.push(spaced);
  else addSteps(config, file, makers, { fused: false });
  return () => new DecoderChain(makers.map((make) => make()));
}

function addSteps(config: unknown, file: string, makers: (() => DecoderStep)[], state: { fused: boolean }): void {
  const type = isJsonObject(config) ? config.type : undefined;
  const options = config as JsonObject;
  switch (type) {
    case 'Sequence':
      for (const part of options.decoders as unknown[]) addSteps(part, file, makers, state);
      return;
    case 'ByteLevel':
      makers.push(byteLevel);
      state.fused = true;
      return;
    case 'ByteFallback':
      makers.push(byteFallback);
      return;
    case 'Fuse':
      state.fused = true;
      return;
    case 'Replace':
      makers.push(replace(options));
      return;
    case 'Strip': {
      const [content, start, stop] = [String(options.content ?? ' '), count(options.start), count(options.stop)];
      makers.push(state.fused ? () => stripWhole(content, start, stop) : () => stripEach(content, start, stop));
      return;
    }
    case 'Metaspace':
      makers.push(() => metaspace(options));
      return;
    case 'WordPiece':
      makers.push(() => wordPiece(String(options.prefix ?? '##'), options.cleanup !== false));
      return;
    case 'BPEDecoder':
      makers.push(() => bpeSuffix(String(options.suffix ?? '</w>')));
      return;
  }
  throw new TokenizerError({ file, field: 'decoder.type', reason: `'${String(type)}' is not implemented` });
}

const count = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** No decoder: tokens with a space between them. */
function spaced(): DecoderStep {
  let first = true;
  return {
    push(token, emit) {
      emit(first ? token : ` ${token}`);
      first = false;
    },
  };
}

function byteLevel(): DecoderStep {
  // ignoreBOM: a BOM in the text is text.
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let bytes: number[] = [];
  const decode = (emit: Emit, stream: boolean) => {
    const text = decoder.decode(Uint8Array.from(bytes), { stream });
    bytes = [];
    if (text !== '') emit(text);
  };
  return {
    push: (token) => pushBytes(token, bytes),
    settle: (emit) => decode(emit, true),
    flush: (emit) => decode(emit, false),
  };
}

const BYTE_TOKEN = /^<0x[0-9A-Fa-f]{2}>$/;

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Runs of `<0xAB>` tokens: valid UTF-8 becomes text, any other run one U+FFFD per byte. */
function byteFallback(): DecoderStep {
  let run: number[] = [];
  // Nothing can make the run valid any more, so that a long one is not looked at again for every token.
  let broken = false;
  const flush = (emit: Emit) => {
    if (run.length > 0) {
      const valid = !broken && utf8State(run) === 'valid';
      emit(valid ? utf8.decode(Uint8Array.from(run)) : '\uFFFD'.repeat(run.length));
    }
    run = [];
    broken = false;
  };
  return {
    push(token, emit) {
      if (token.length === 6 && BYTE_TOKEN.test(token)) {
        run.push(Number.parseInt(token.slice(3, 5), 16));
        return;
      }
      flush(emit);
      emit(token);
    },
    settle(emit) {
      if (run.length === 0 || broken) return;
      const state = utf8State(run);
      broken = state === 'invalid';
      if (state !== 'valid') return;
      // A literal U+FFFD at the end is held back by the reader, so a broken byte behind it may still join the run.
      const text = utf8.decode(Uint8Array.from(run));
      const shown = text.replace(/\uFFFD+$/, '');
      if (shown === '') return;
      run = run.slice(run.length - 3 * (text.length - shown.length));
      emit(shown);
    },
    flush,
  };
}

function replace(options: JsonObject): () => DecoderStep {
  // The library's step only for its translation of the pattern: String or Oniguruma Regex.
  const { pattern } = new ReplaceDecoder(options as never) as unknown as { pattern: RegExp | null };
  const content = String(options.content ?? '');
  return () => ({
    push: (token, emit) => emit(pattern === null ? token : token.replaceAll(pattern, () => content)),
  });
}

function stripEach(content: string, start: number, stop: number): DecoderStep {
  return {
    push(token, emit) {
      let from = 0;
      let to = token.length;
      while (from < start && token[from] === content) from++;
      while (to > from && token.length - to < stop && token[to - 1] === content) to--;
      emit(token.slice(from, to));
    },
  };
}

/** Cuts up to `start` leading and `stop` trailing characters off the whole text. */
function stripWhole(content: string, start: number, stop: number): DecoderStep {
  let left = start;
  let held = '';
  return {
    push(text, emit) {
      let from = 0;
      while (left > 0 && from < text.length) {
        if (text[from] !== content) left = 0;
        else {
          from++;
          left--;
        }
      }
      const rest = held + text.slice(from);
      let to = rest.length;
      while (to > 0 && rest.length - to < stop && rest[to - 1] === content) to--;
      held = rest.slice(to);
      if (to > 0) emit(rest.slice(0, to));
    },
  };
}

function metaspace(options: JsonObject): DecoderStep {
  const replacement = String(options.replacement ?? '▁');
  const never = options.prepend_scheme === 'never' || options.add_prefix_space === false;
  let first = true;
  return {
    push(token, emit) {
      emit(token.replaceAll(replacement, first && !never ? '' : ' '));
      first = false;
    },
  };
}

function wordPiece(prefix: string, cleanup: boolean): DecoderStep {
  let first = true;
  return {
    push(token, emit) {
      const text = first ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`;
      first = false;
      emit(cleanup ? cleanUp(text) : text);
    },
  };
}

const CLEAN_UPS: readonly [string, string][] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [' do not', " don't"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
];

const cleanUp = (text: string): string => CLEAN_UPS.reduce((out, [from, to]) => out.replaceAll(from, to), text);

/** A suffix that ends a word: a space between two words, nothing behind the last. */
function bpeSuffix(suffix: string): DecoderStep {
  let space = '';
  return {
    push(token, emit) {
      const parts = token.split(suffix);
      emit(space + parts.slice(0, -1).join(' ') + (parts.length > 1 && parts.at(-1) !== '' ? ' ' : '') + parts.at(-1));
      space = parts.length > 1 && parts.at(-1) === '' ? ' ' : '';
    },
  };
}
