import type { Block } from '@airllm/kernels';
import type { MetaTensor } from '@airllm/loader';
import type { Model } from './model';

/** Cache line: where each literal tensor starts. */
const ALIGNMENT = 64;

/** Where the literal tensors of a model lie in one buffer; bytes that several tensors share lie there once. */
export function placeLiterals(model: Model): { offsets: ReadonlyMap<Uint8Array, number>; byteLength: number } {
  const offsets = new Map<Uint8Array, number>();
  let byteLength = 0;
  const place = ({ literal }: MetaTensor) => {
    if (literal === undefined || offsets.has(literal)) return;
    offsets.set(literal, byteLength);
    byteLength += Math.ceil(literal.length / ALIGNMENT) * ALIGNMENT;
  };
  for (const block of blocksOf(model)) {
    block.weights.forEach(place);
    for (const experts of block.experts.values()) for (const tensors of experts) tensors.forEach(place);
  }
  return { offsets, byteLength };
}

function blocksOf(model: Model): readonly Block[] {
  return [model.embedding, ...model.layers, model.head];
}
