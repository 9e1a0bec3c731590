/** Guesses how texts go on. What it guesses changes how quickly a text comes, never what it says. */
export interface Drafter {
  readonly name: DrafterName;
  /** Guesses take time, so it is worth asking for no more than will be used. */
  readonly costly: boolean;
  /** What a token takes, before it is known. */
  readonly assumedSeconds: number;
  /** Begins a text that will have at most `maxLength` tokens. */
  open(maxLength: number): DraftSession;
  /** Gives back what it holds. Idempotent; its sessions must be disposed before. */
  dispose(): Promise<void>;
}

/** Repetitions of the text itself, another model, or a compressed copy of the model. */
export type DrafterName = 'lookup' | 'model' | 'self';

/** One text being guessed at. */
export interface DraftSession {
  /** What may follow the text so far. The text only ever grows, but not always by what was guessed. */
  draft(request: DraftRequest): Promise<Draft>;
  /** Ends a draft being made, and gives back what it holds. Idempotent. */
  dispose(): void;
}

/** What a drafter is asked. */
export interface DraftRequest {
  /** Prompt and output so far. */
  readonly ids: readonly number[];
  /** Most tokens to guess, at least 1. */
  readonly most: number;
  /** How the text's own tokens are chosen: greedily, or drawn with the very numbers its tokens will be drawn with. */
  readonly choose: Choose;
}

/** The token after `ids`, given logits `[vocabSize]` for it. */
export type Choose = (logits: Float32Array, ids: readonly number[]) => number;

/** What it guesses. */
export interface Draft {
  readonly ids: readonly number[];
  /** Which of a drafter's guesses these are: those of one kind are accepted about equally often. From 0. */
  readonly trust: number;
  /** Seconds per token, where it took any that count. */
  readonly secondsPerToken?: number | undefined;
}

export const NO_DRAFT: Draft = { ids: [], trust: 0 };
