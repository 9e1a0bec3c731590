/** What a weight file holds; `other` is whatever belongs to no layer and is neither embedding, norm nor head. */
export type FileRole = 'embed' | 'layer' | 'expert' | 'norm' | 'head' | 'other';

/** Where a tensor belongs, read off its name alone. */
export interface Place {
  readonly role: FileRole;
  /** Name up to the layer number (`model.layers`, `h`, `encoder.block`); null outside layers. */
  readonly stack: string | null;
  readonly layer: number | null;
  readonly expert: number | null;
  /** The part of the name after layer (and expert) number; the whole name outside layers. */
  readonly rest: string;
}

// `layers`, `layer` (BERT), `block` (T5), `blocks`, `h` (GPT-2), `resblocks` (CLIP), `transformer_layers`, …
const STACK = /^(?:h|.*?(?:layer|block)s?)$/i;
const EXPERTS = /^(?:local_)?experts?$/i;
const NUMBER = /^\d{1,6}$/;

const EMBED = /(?:^|[._])(?:embed\w*|wte|wpe|tok_embeddings|word_embeddings?|position_embeddings?)(?:\.|$)/i;
const HEAD = /(?:^|\.)(?:lm_head|embed_out|output|output_layer|classifier|score)(?:\.|$)/i;
const NORM = /(?:^|[._])(?:(?:\w+_)?(?:layer_?)?norm\w*|ln_f|ln_post|ln_pre)(?:\.|$)/i;

/**
 * The place of a tensor. The outermost numbered stack wins (T5's `encoder.block.0.layer.1`), and below it numbered
 * experts; experts fused into one tensor stay with their layer. Knows no architecture: a name without these marks is
 * `other`, never an error.
 */
export function placeTensor(name: string): Place {
  const parts = name.split('.');
  const at = numbered(parts, 0, STACK);
  if (at < 0) return { role: outsideLayers(name), stack: null, layer: null, expert: null, rest: name };
  const stack = parts.slice(0, at + 1).join('.');
  const layer = Number(parts[at + 1]);
  const expertAt = numbered(parts, at + 2, EXPERTS);
  if (expertAt < 0) return { role: 'layer', stack, layer, expert: null, rest: parts.slice(at + 2).join('.') };
  const rest = parts.slice(expertAt + 2).join('.');
  return { role: 'expert', stack, layer, expert: Number(parts[expertAt + 1]), rest };
}

function numbered(parts: readonly string[], from: number, word: RegExp): number {
  for (let i = from; i < parts.length - 2; i++) {
    if (word.test(parts[i]!) && NUMBER.test(parts[i + 1]!)) return i;
  }
  return -1;
}

function outsideLayers(name: string): FileRole {
  // `embed_out` (GPT-NeoX) is a head, so heads are asked first.
  if (HEAD.test(name)) return 'head';
  if (EMBED.test(name)) return 'embed';
  if (NORM.test(name)) return 'norm';
  return 'other';
}
