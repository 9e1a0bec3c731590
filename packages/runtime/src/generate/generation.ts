import type { Row, Sequence } from '../engine';
import { EventQueue } from './event-queue';
import { seededRandom } from './random';
import { sample } from './sampling';
import type { WantedRows } from './share-rows';
import { LookaheadRandom } from './speculate/lookahead-random';
import type { SpeculationStats } from './speculate/speculation';
import type { Stopwatch } from './stopwatch';
import { Transcript, type TranscriptOptions } from './transcript';
import type { StreamEvent } from './types';

/** What may be run behind a text's last token in the next pass. */
export interface DraftRoom {
  /** Most tokens that may be drafted. */
  readonly room: number;
  /** Rows of the pass without them. */
  readonly rows: number;
}

/** Guesses how one text goes on; `generate/speculate` has those that do. What is guessed changes nothing but the time. */
export interface TextDrafter {
  /** Tokens that may follow `ids` (prompt included); none where it has no idea, or where drafting does not pay. */
  draft(ids: readonly number[], options: DraftRoom & { readonly random: LookaheadRandom }): Promise<readonly number[]>;
  /** Is told how many of the last draft's tokens were right. */
  verified(drafted: number, right: number): void;
  /** The text has ended. */
  stop(): void;
  readonly stats: SpeculationStats;
}

export interface GenerationParts extends TranscriptOptions {
  /** Has room for prompt and limit; a prefix of the prompt may have been run in it. Stays the caller's. */
  readonly sequence: Sequence;
  readonly watch: Stopwatch;
  /** `ModelConfig.ropeSwitchLength`. */
  readonly ropeSwitchLength?: number | undefined;
  readonly drafter?: TextDrafter | undefined;
  /** Told the logits of the prompt's last token before a token is chosen from them: the sequence then holds the prompt. */
  readonly onPrompt?: ((logits: Float32Array) => void) | undefined;
}

/** Tokens nobody has read at which a generation waits for its reader. */
const MOST_UNREAD = 8;

/**
 * One text being generated: which rows it wants run in the next pass, and what it makes of their logits. It knows nothing
 * of the others that run in the same passes.
 */
export class Generation {
  readonly sequence: Sequence;
  readonly events: EventQueue<StreamEvent>;
  readonly #transcript: Transcript;
  readonly #parts: GenerationParts;
  readonly #random: LookaheadRandom;
  /** Rows of positions below this one were run as a prompt of this length: it decides their length-dependent RoPE. */
  #promptLength: number;
  #drafts: readonly number[] = [];
  #ended = false;
  #onChange: () => void = () => {};

  constructor(parts: GenerationParts) {
    this.#parts = parts;
    this.sequence = parts.sequence;
    this.#transcript = new Transcript(parts);
    this.#random = new LookaheadRandom(seededRandom(parts.resolved.seed));
    this.#promptLength = parts.prompt.length;
    this.events = new EventQueue(() => this.#onChange());
  }

  /** Nothing more is to be run: the text has ended, failed or been given up. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Whether its reader keeps up. */
  get ready(): boolean {
    return !this.#ended && this.events.unread < MOST_UNREAD;
  }

  /** Positions its sequence will have after the next rows. */
  get length(): number {
    return this.#transcript.history.length + this.#drafts.length;
  }

  /** Every token so far, the prompt's first. */
  get history(): readonly number[] {
    return this.#transcript.history;
  }

  /** `ropeLength` of the rows of positions below it. */
  get promptLength(): number {
    return this.#promptLength;
  }

  /** Rows to be run before the next token can be chosen: of the prompt, and those whose logits are wanted. */
  get wanted(): WantedRows {
    return {
      prefill: this.#transcript.history.length - this.sequence.length - 1,
      decoding: 1 + this.#drafts.length,
    };
  }

  /** Whether it may have tokens drafted now. */
  get drafts(): boolean {
    return this.#parts.drafter !== undefined && this.wanted.prefill === 0;
  }

  /** Calls back when it is given up, or its reader has read. */
  onChange(callback: () => void): void {
    this.#onChange = callback;
  }

  /** Before `rows`: lets the drafter guess tokens that are then run behind the last one. */
  async draft(given: DraftRoom): Promise<void> {
    const room = Math.min(given.room, this.#draftRoom());
    if (!this.drafts || room < 1) return;
    const options = { ...given, room, random: this.#random };
    const drafted = await this.#parts.drafter!.draft(this.#transcript.history, options);
    if (!this.#ended) this.#drafts = drafted.slice(0, room);
  }

  /** The next rows, at most so many. The last token's and those of drafts want logits. */
  rows(most: number): Row[] {
    const { sequence } = this;
    const { history } = this.#transcript;
    const ids = this.#drafts.length === 0 ? history : [...history, ...this.#drafts];
    const from = sequence.length;
    return ids.slice(from, from + most).map((input, i) => ({
      sequence,
      position: from + i,
      input,
      ropeLength: Math.max(this.#promptLength, from + i + 1),
      wantsLogits: from + i >= history.length - 1,
    }));
  }

  /** Takes the logits of the rows that wanted them, in order, and keeps none: each row's token, as long as the next row's was drafted right. */
  take(logits: readonly Float32Array[]): void {
    if (this.#ended || logits.length === 0) return;
    const { prompt, onPrompt, watch } = this.#parts;
    watch.pass();
    if (this.#transcript.history.length === prompt.length) onPrompt?.(logits[0]!);
    const verified = { drafts: this.#drafts, right: 0 };
    this.#drafts = [];
    try {
      for (const [i, row] of logits.entries()) {
        const id = sample(row, this.#transcript.history, this.#parts.resolved.sampling, this.#random);
        const guessed = id === verified.drafts[i];
        if (guessed) verified.right++;
        this.#append(id, row);
        if (this.#transcript.finishReason !== undefined || !guessed) break;
      }
    } finally {
      // Also where the caller's own criteria throw: a prompt cache keeps what the sequence holds of the text.
      this.#forgetRefused(verified);
    }
    if (this.#transcript.finishReason !== undefined) this.#finish();
  }

  /** Ends it with an error of its own, told after what was generated. */
  fail(error: unknown): void {
    this.#end();
    this.events.fail(error);
  }

  /** Gives it up: whoever reads learns the reason at once. */
  cancel(reason: unknown): void {
    if (this.#ended) return;
    this.#end();
    this.events.abort(reason);
    this.#onChange();
  }

  /** Drafts that fit: beside the token after them, and before rotations change for the whole sequence. */
  #draftRoom(): number {
    const { length } = this.#transcript.history;
    const before = length > this.#switchLength ? Number.POSITIVE_INFINITY : this.#switchLength - length;
    return Math.min(this.#transcript.left - 1, before);
  }

  get #switchLength(): number {
    return this.#parts.ropeSwitchLength ?? Number.POSITIVE_INFINITY;
  }

  #append(id: number, logits: Float32Array): void {
    this.#parts.watch.token();
    this.events.push(this.#transcript.append(id, logits));
    const { length } = this.#transcript.history;
    if (length !== this.#switchLength + 1) return;
    // Keys so far were rotated for short texts: as transformers does, the sequence is run again as a long prompt.
    this.sequence.truncate(0);
    this.#promptLength = length;
  }

  #forgetRefused({ drafts, right }: { readonly drafts: readonly number[]; readonly right: number }): void {
    if (drafts.length === 0) return;
    const run = this.#transcript.history.length - 1;
    if (this.sequence.length > run) this.sequence.truncate(run);
    this.#parts.drafter?.verified(drafts.length, right);
  }

  #finish(): void {
    const { watch, resolved, drafter } = this.#parts;
    this.#end();
    this.events.push(this.#transcript.finish(watch.stats(resolved.seed, drafter?.stats ?? null)));
    this.events.close();
  }

  #end(): void {
    this.#ended = true;
    this.#drafts = [];
    this.#parts.drafter?.stop();
  }
}
