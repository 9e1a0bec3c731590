import { createHash } from 'node:crypto';
import { dtypeBits } from '@airllm/loader';
import { FloatConverter } from './convert';
import { OutputFile } from './output-file';
import { JobFailure, type TensorPiece, type WriteJob, type WriteResult } from './protocol';
import type { Workspace } from './workspace';

/** Writes one file whole and durable, hashing what it writes; on any failure nothing of it stays. */
export function writeFile(job: WriteJob, workspace: Workspace): WriteResult {
  const output = new OutputFile(job.path, workspace.out, workspace.direct);
  try {
    output.append(job.header);
    workspace.advance(job.header.length);
    const sha256 = job.pieces.map((piece) => {
      const gap = piece.at - output.position;
      output.zerosTo(piece.at);
      workspace.advance(gap);
      return writePiece(piece, output, workspace);
    });
    output.finish();
    return { headerSha256: createHash('sha256').update(job.header).digest('hex'), sha256 };
  } catch (error) {
    output.discard();
    throw error;
  }
}

function writePiece(piece: TensorPiece, output: OutputFile, workspace: Workspace): string {
  const hash = createHash('sha256');
  const emit = (bytes: Uint8Array) => {
    hash.update(bytes);
    output.append(bytes);
    workspace.advance(bytes.length);
  };
  const input = workspace.input(piece.file, true);
  if (piece.from === piece.to) {
    for (const chunk of input.chunks(piece.offset, piece.length)) emit(chunk);
  } else {
    const converter = new FloatConverter(piece.from, piece.to);
    const width = dtypeBits(piece.from) / 8;
    let elements = 0;
    for (const chunk of input.chunks(piece.offset, piece.length, width)) {
      const overflow = converter.convert(chunk, emit);
      if (overflow !== undefined) {
        const { file, name: tensor, to: dtype } = piece;
        throw new JobFailure({
          kind: 'overflow',
          file,
          tensor,
          index: elements + overflow.index,
          value: overflow.value,
          dtype,
        });
      }
      elements += chunk.length / width;
    }
  }
  return hash.digest('hex');
}
