import type { ChatMessage, RenderChatOptions } from '../text';
import type { ChosenLogprob } from './logprobs';
import type { GenerationOptions } from './options';
import type { SpeculationStats } from './speculate/speculation';

/** What to go on from: exactly one of `prompt`, `messages` and `ids`. */
export type Prompt =
  /** Plain text, never put through a chat template; the tokenizer's own special tokens are added. */
  | { readonly prompt: string; readonly messages?: never; readonly ids?: never }
  /** A chat, always put through the model's template. */
  | { readonly messages: readonly ChatMessage[]; readonly prompt?: never; readonly ids?: never }
  /** Token ids, taken as they are. */
  | { readonly ids: readonly number[]; readonly prompt?: never; readonly messages?: never };

/** What a call of `generate` may say beside the prompt. */
export interface GenerateOptions extends GenerationOptions {
  /** For `messages`: tools, documents, further variables of the template. */
  readonly chat?: Pick<RenderChatOptions, 'tools' | 'documents' | 'continueFinalMessage' | 'template' | 'variables'>;
  /** Keeps the logits `[vocabSize]` each token was chosen from. @defaultValue false */
  readonly returnLogits?: boolean | undefined;
  /**
   * Texts drawn from the prompt, which is run once for all, with the seeds `seed`, `seed + 1`, … More than one only where
   * tokens are drawn, and not for streams. @defaultValue 1
   */
  readonly numReturnSequences?: number | undefined;
  /**
   * File that keeps what was read (safetensors): what it has of the prompt's beginning is not run again, and what was run
   * is put there at the end. It belongs to one model with one `kvCacheDtype` and `computeDtype` on one kind of processor.
   * @defaultValue none
   */
  readonly promptCache?: string | undefined;
  /** Ends the work between two segments; the call rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A call of `generate`. */
export type GenerateRequest = Prompt & GenerateOptions;

/** `eos`: the model ended the text. `stop`: a stop string or criterion did. `length`: the token limit or the context did. */
export type FinishReason = 'eos' | 'stop' | 'length';

/** Tokens of a call. */
export interface Usage {
  readonly promptTokens: number;
  /** With `promptCache`: prompt tokens that came from the file. */
  readonly cachedTokens?: number;
  readonly newTokens: number;
}

/** Where the time went, for this call alone. */
export interface GenerateStats {
  /** Seconds from the call to its first token. */
  readonly firstTokenSeconds: number;
  /** New tokens per second after the first. 0 if there was only one. */
  readonly tokensPerSecond: number;
  readonly totalSeconds: number;
  /** Seconds of processor time, of the whole process, per new token after the first. 0 if there was only one. */
  readonly cpuSecondsPerToken: number;
  /** Bytes of weights read while this call ran; of a model's first call also those that were read ahead before it. */
  readonly bytesRead: number;
  /** Of these, bytes that the page cache held. */
  readonly bytesCached: number;
  /** Bytes of weights that the page cache held and that were first computed with there; they are read a second later. */
  readonly bytesMapped: number;
  /** Seconds in which any of `bytesRead` were being read, so that their quotient is the drive's rate, whoever waited for it. */
  readonly readSeconds: number;
  /** Passes that brought tokens; without drafts each brings one. */
  readonly passes: number;
  readonly tokensPerPass: number;
  /** What guessing tokens ahead did; null where nobody did. */
  readonly speculation: SpeculationStats | null;
  /** The seed the tokens were drawn with. */
  readonly seed: number;
}

/** What a call of `generate` gives. */
export interface GenerateResult {
  /** What was generated, without special tokens and without the stop string. Empty for a model without tokenizer. */
  readonly text: string;
  /** Every token that was generated, the end token included. */
  readonly ids: readonly number[];
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  readonly stats: GenerateStats;
  /** With `returnLogits`: parallel to `ids`. */
  readonly logits?: readonly Float32Array[];
  /** With `topLogprobs`: parallel to `ids`. */
  readonly logprobs?: readonly ChosenLogprob[];
  /** With `numReturnSequences`: all texts, this first one included. */
  readonly sequences?: readonly GenerateResult[];
}

/** What a stream brings: text that is final (possibly none yet) with the tokens that made it, then one `finish`. */
export type StreamEvent =
  | {
      readonly type: 'text';
      readonly text: string;
      readonly ids: readonly number[];
      /** With `topLogprobs`: parallel to `ids`. */
      readonly logprobs?: readonly ChosenLogprob[];
    }
  | ({ readonly type: 'finish' } & GenerateResult);
