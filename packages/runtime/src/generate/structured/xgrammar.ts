import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { GrammarLibraryError } from './errors';

/** Known to work: 0.1.27. */
const XGRAMMAR = '@mlc-ai/web-xgrammar';

// What is used of the library, in its own terms.

interface Disposable {
  dispose(): void;
}

interface TokenizerInfo extends Disposable {
  getVocabSize(): number;
}

export interface CompiledGrammar extends Disposable {
  grammar(): Disposable;
}

interface GrammarCompiler extends Disposable {
  /** `indent` -1: on one line. Properties a schema does not name are not allowed unless it says so. */
  compileJSONSchema(schema: string, anyWhitespace: boolean, indent: number): Promise<CompiledGrammar>;
  compileGrammar(grammar: string): Promise<CompiledGrammar>;
}

export interface GrammarMatcher extends Disposable {
  acceptToken(id: number): boolean;
  rollBack(count: number): void;
  isTerminated(): boolean;
  /** The binding: its method gives at once what `getNextTokenBitmask` promises. */
  readonly handle: { GetNextTokenBitmask(vocabSize: number): { get(word: number): number; delete(): void } };
}

interface Exports {
  readonly TokenizerInfo: {
    createTokenizerInfo(
      vocabulary: readonly Uint8Array[],
      type: 'raw',
      prependSpace: boolean,
      vocabSize: number,
      stopTokens: readonly number[],
    ): Promise<TokenizerInfo>;
  };
  readonly GrammarCompiler: { createGrammarCompiler(tokenizer: TokenizerInfo): Promise<GrammarCompiler> };
  readonly GrammarMatcher: {
    createGrammarMatcher(
      grammar: CompiledGrammar,
      stopTokens: undefined,
      terminateWithoutStopToken: boolean,
    ): Promise<GrammarMatcher>;
  };
}

/** XGrammar (https://github.com/mlc-ai/xgrammar) in an instance of its own. */
export interface Xgrammar extends Exports {
  /** What it has said since the last call; an error is an abort, whose reason it says beforehand. */
  takeMessages(): string[];
}

/**
 * Loads the library, each time anew: an abort may leave an instance in any state. Its one file is a UMD module that its
 * package.json declares to be ESM, so that Node can neither import nor require it; here it runs as what it is, with the
 * WebAssembly it carries, and without `process`, for which it would import modules in a way that few loaders bear.
 * Throws `GrammarLibraryError`.
 */
export function loadXgrammar(): Xgrammar {
  const require = createRequire(import.meta.url ?? __filename);
  let file: string;
  let source: string;
  try {
    file = require.resolve(XGRAMMAR);
    source = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new GrammarLibraryError({ library: XGRAMMAR, reason: `install it beside @airllm/runtime`, cause });
  }
  const messages: string[] = [];
  const say = (...parts: unknown[]) => messages.push(parts.join(' '));
  const console = { log: say, info: say, warn: say, error: say, debug: say };
  const module: { exports: Partial<Exports> } = { exports: {} };
  try {
    const load = new Function('exports', 'module', 'require', '__filename', 'console', 'process', source);
    load(module.exports, module, require, file, console, undefined);
  } catch (cause) {
    throw new GrammarLibraryError({ library: XGRAMMAR, reason: `${file} is not the module that is known`, cause });
  }
  const { TokenizerInfo, GrammarCompiler, GrammarMatcher } = module.exports;
  if (!TokenizerInfo || !GrammarCompiler || !GrammarMatcher) {
    throw new GrammarLibraryError({ library: XGRAMMAR, reason: `${file} does not export what is known` });
  }
  return { TokenizerInfo, GrammarCompiler, GrammarMatcher, takeMessages: () => messages.splice(0) };
}
