import { OptionError } from '@airllm/loader';
import { MissingTokenizerError } from '../../errors';
import { TokenBytes, type Tokenizer } from '../../text';
import { GrammarError } from './errors';
import { GrammarConstraint } from './grammar-constraint';
import type { ResponseFormat } from './response-format';
import { type CompiledGrammar, type GrammarMatcher, loadXgrammar, type Xgrammar } from './xgrammar';

/** Of a model. */
export interface GrammarsOptions {
  readonly tokenizer: Tokenizer | null;
  readonly endTokens: ReadonlySet<number>;
  /** Of the model: its logits. */
  readonly vocabSize: number;
}

/** Free white space costs tokens, which take seconds where weights stream, and small models never find out of it. */
const ANY_WHITE_SPACE = false;
/** As Python's json.dumps writes it, which models have seen most: `{"a": 1, "b": [2, 3]}`. */
const ONE_LINE = -1;
/** Texts of one request that are followed without taking turns at a matcher. */
const MOST_MATCHERS = 32;

/**
 * Bytes that following grammars takes: of the library with what it keeps, and of a vocabulary's tokens as they are handed
 * over. Measured with 60 schemas: 81 MB at 32k entries, 130 at 128k, 196 at 256k.
 */
export function grammarMemory(vocabSize: number): number {
  return 75e6 + 520 * vocabSize;
}

/** A compiler keeps every grammar it has compiled, each of some 18 bytes per token; one that has so many gives way to a new one. */
const MOST_COMPILED = 16;

type Format = Exclude<ResponseFormat, { type: 'text' }>;

interface Compiler {
  readonly library: Xgrammar;
  compile(format: Format): Promise<CompiledGrammar>;
}

/** Follows schemas and grammars in a model's tokens. What is loaded for it is loaded when it is first needed. */
export class Grammars {
  readonly #options: GrammarsOptions;
  #compiler: Promise<Compiler> | undefined;

  constructor(options: GrammarsOptions) {
    this.#options = options;
  }

  /**
   * A constraint for so many texts behind a prompt; dispose it when they have ended. Throws `GrammarLibraryError`,
   * `GrammarError`, `MissingTokenizerError`.
   */
  async constrain(format: Format, { texts, promptLength }: { texts: number; promptLength: number }) {
    this.#compiler ??= this.#open();
    const opening = this.#compiler;
    try {
      const { library, compile } = await opening;
      const grammar = await compile(format);
      const matchers: GrammarMatcher[] = [];
      for (let i = 0; i < Math.min(texts, MOST_MATCHERS); i++) {
        matchers.push(await library.GrammarMatcher.createGrammarMatcher(grammar, undefined, !this.hasEndTokens));
      }
      grammar.dispose();
      return new GrammarConstraint({ matchers, promptLength, vocabSize: this.#options.vocabSize });
    } catch (error) {
      // An instance that aborted is not asked again; those that follow its matchers keep it.
      if (this.#compiler === opening) this.#compiler = undefined;
      throw error;
    }
  }

  /** Whether a text that is whole is ended by a token; else by {@link GrammarConstraint.isWhole}. */
  get hasEndTokens(): boolean {
    return this.#options.endTokens.size > 0;
  }

  async #open(): Promise<Compiler> {
    const { tokenizer, endTokens, vocabSize } = this.#options;
    if (tokenizer === null) throw new MissingTokenizerError();
    const library = loadXgrammar();
    const ends = [...endTokens].filter((id) => id < vocabSize);
    const info = await library.TokenizerInfo.createTokenizerInfo(
      vocabulary(tokenizer, vocabSize),
      'raw',
      false,
      vocabSize,
      ends,
    );
    let compiler = await library.GrammarCompiler.createGrammarCompiler(info);
    const compiled = new Set<string>();
    const makeRoom = async (text: string) => {
      if (compiled.size >= MOST_COMPILED && !compiled.has(text)) {
        compiler.dispose();
        compiler = await library.GrammarCompiler.createGrammarCompiler(info);
        compiled.clear();
      }
      compiled.add(text);
    };
    const compile = async (format: Format) => {
      const text = format.type === 'grammar' ? format.grammar : schemaOf(format);
      library.takeMessages();
      try {
        await makeRoom(text);
        const grammar = await (format.type === 'grammar'
          ? compiler.compileGrammar(text)
          : compiler.compileJSONSchema(text, ANY_WHITE_SPACE, ONE_LINE));
        const [warning] = library.takeMessages();
        // It would go on without what it does not know.
        if (warning !== undefined) throw new GrammarError(reasonIn(warning));
        return grammar;
      } catch (error) {
        if (GrammarError.isInstance(error)) throw error;
        const [message = (error as Error).message] = library.takeMessages();
        throw new GrammarError(reasonIn(message), error);
      }
    };
    // One after the other: what it says does not say of which.
    let last: Promise<unknown> = Promise.resolve();
    return {
      library,
      compile: (format) => {
        const grammar = last.then(() => compile(format));
        last = grammar.catch(() => {});
        return grammar;
      },
    };
  }
}

/** The bytes of each token; none for special tokens and padding, which are no text. */
function vocabulary(tokenizer: Tokenizer, vocabSize: number): Uint8Array[] {
  const tokens = new TokenBytes(tokenizer);
  const none = new Uint8Array();
  return Array.from({ length: vocabSize }, (_, id) => (tokenizer.isSpecial(id) ? none : tokens.bytes(id)));
}

function schemaOf(format: Exclude<Format, { type: 'grammar' }>): string {
  const schema = format.type === 'json_object' ? { type: 'object', additionalProperties: true } : format.schema;
  try {
    return JSON.stringify(schema);
  } catch (cause) {
    throw new OptionError({ option: 'responseFormat', expected: 'a schema that is JSON', found: String(cause) });
  }
}

/** `Unsupported type "nonsense"` of `[FATAL] /home/…/json_schema_converter.cc:902: Unsupported type "nonsense"`. */
function reasonIn(message: string): string {
  return message.replace(/^\[[A-Z]+\] \S+?:\d+: /, '').trim();
}
