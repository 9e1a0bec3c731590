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
    const compiler = await library.GrammarCompiler.createGrammarCompiler(info);
    return {
      library,
      compile: async (format) => {
        library.takeMessages();
        try {
          const grammar = await (format.type === 'grammar'
            ? compiler.compileGrammar(format.grammar)
            : compiler.compileJSONSchema(schemaOf(format), ANY_WHITE_SPACE, ONE_LINE));
          const [warning] = library.takeMessages();
          // It would go on without what it does not know.
          if (warning !== undefined) throw new GrammarError(reasonIn(warning));
          return grammar;
        } catch (error) {
          if (GrammarError.isInstance(error)) throw error;
          const [message = (error as Error).message] = library.takeMessages();
          throw new GrammarError(reasonIn(message), error);
        }
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
