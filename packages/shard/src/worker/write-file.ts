import { createHash } from 'node:crypto';
import { CODECS } from '../sources/codecs/registry';
import { convertTensor } from './convert-tensor';
import { copyTensor } from './copy-tensor';
import { OutputFile } from './output-file';
import type { WriteJob, WriteResult } from './protocol';
import { TensorWriter } from './tensor-writer';
import type { Workspace } from './workspace';

/** Writes one file whole and durable, hashing what it writes; on any failure nothing of it stays. */
export function writeFile(job: WriteJob, workspace: Workspace): WriteResult {
  const output = new OutputFile(job.path, workspace.out, workspace.direct);
  try {
    output.append(job.header);
    workspace.advance(job.header.length);
    const writer = new TensorWriter(output, workspace);
    const tensors = job.pieces.flatMap((piece) =>
      piece.kind === 'copy'
        ? [{ sha256: copyTensor(piece, writer, workspace) }]
        : convertTensor(piece, CODECS, writer, workspace),
    );
    output.finish();
    return { headerSha256: createHash('sha256').update(job.header).digest('hex'), tensors };
  } catch (error) {
    output.discard();
    throw error;
  }
}
