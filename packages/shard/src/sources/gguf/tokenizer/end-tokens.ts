import type { GgufMetadata } from '../metadata';
import { type GgufVocabulary, TokenKind } from './vocabulary';

/** Control tokens that end a turn in the models that have them, whether the file says so or not; as in llama.cpp. */
const ENDS = [
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<|return|>',
  '<|call|>',
  '<|eom_id|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|eot|>',
  '<EOT>',
  '[EOT]',
  '<｜end▁of▁sentence｜>',
  '<end_of_utterance>',
];

/** Ids of all tokens that end a text, the file's own `eos` first. */
export function endTokenIds(metadata: GgufMetadata, vocabulary: GgufVocabulary): number[] {
  const { ids, kind } = vocabulary;
  const named = ['eos', 'eot', 'eom'].map((name) => specialId(metadata, vocabulary, name));
  const isControl = (id: number | undefined) => id !== undefined && kind(id) === TokenKind.Control;
  // gpt-oss ends its messages with <|end|>, of which an answer has several.
  const harmony = ids.has('<|return|>') && ids.has('<|call|>');
  const known = ENDS.filter((token) => !(harmony && token === '<|end|>')).map((token) => ids.get(token));
  return [...new Set([...named, ...known.filter(isControl)].filter((id) => id !== undefined))];
}

/** A special token by its name in the metadata; ids beyond the vocabulary are ignored, as ggml does. */
export function specialId(metadata: GgufMetadata, { tokens }: GgufVocabulary, name: string): number | undefined {
  const id = metadata.int(`tokenizer.ggml.${name}_token_id`, 0);
  return id !== undefined && id < tokens.length ? id : undefined;
}
