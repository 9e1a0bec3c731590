import type { Engine } from '../engine/engine';
import type { ChatTemplate, Tokenizer } from '../text';
import type { GenerationDefaults } from './generation-config';
import type { PromptCaches } from './prompt-cache/prompt-caches';
import type { Scheduler } from './scheduler';
import type { Speculator } from './speculate/speculation';
import type { Grammars } from './structured/grammars';

/** Everything a generation works with; what a loaded model consists of. */
export interface GenerationSession {
  readonly engine: Engine;
  /** Of this engine; shared by all that generate with it, so that they share its passes. */
  readonly scheduler: Scheduler;
  /** Guesses tokens for all that generate. @defaultValue nobody does */
  readonly speculator?: Speculator | undefined;
  /** Files with keys and values of prompts. @defaultValue none: `promptCache` is refused */
  readonly promptCaches?: PromptCaches | undefined;
  /** Follows schemas and grammars. @defaultValue nobody does: `responseFormat` is refused */
  readonly grammars?: Grammars | undefined;
  /** Positions one sequence may have. */
  readonly contextLength: number;
  /** Absent for a folder without one: then only `ids` can be given, and no text comes back. */
  readonly tokenizer: Tokenizer | null;
  readonly chatTemplate: ChatTemplate | null;
  /** Tokens that end a text. */
  readonly endTokens: ReadonlySet<number>;
  readonly defaults: GenerationDefaults;
}
