import { type DType, dtypeBits } from '@airllm/loader';
import { FloatConverter } from './convert';
import { type CopyPiece, JobFailure } from './protocol';
import type { TensorWriter } from './tensor-writer';
import type { Workspace } from './workspace';

/** Copies a tensor, changing its dtype on the way where that is asked for; its SHA-256. */
export function copyTensor(piece: CopyPiece, writer: TensorWriter, workspace: Workspace): string {
  writer.begin(piece.at);
  const convert = floatChanger(piece, writer.append);
  for (const chunk of chunksOf(piece, workspace)) convert(chunk);
  return writer.end();
}

function* chunksOf({ source, from, to }: CopyPiece, workspace: Workspace): Generator<Uint8Array> {
  if ('bytes' in source) yield source.bytes;
  else {
    const { file, offset, length } = source;
    yield* workspace.input(file, true).chunks(offset, length, from === to ? 1 : dtypeBits(from) / 8);
  }
}

export interface FloatChange {
  readonly name: string;
  readonly source: { readonly file: string } | { readonly bytes: Uint8Array };
  readonly from: DType;
  readonly to: DType;
}

/** Takes a tensor's bytes piece by piece (whole elements, in order) and passes them on in another dtype. */
export function floatChanger(
  { name, source, from, to }: FloatChange,
  emit: (bytes: Uint8Array) => void,
): (bytes: Uint8Array) => void {
  if (from === to) return emit;
  const converter = new FloatConverter(from, to);
  const width = dtypeBits(from) / 8;
  let elements = 0;
  return (bytes) => {
    const overflow = converter.convert(bytes, emit);
    if (overflow !== undefined) {
      const file = 'file' in source ? source.file : '(computed)';
      const { index, value } = overflow;
      throw new JobFailure({ kind: 'overflow', file, tensor: name, index: elements + index, value, dtype: to });
    }
    elements += bytes.length / width;
  };
}
