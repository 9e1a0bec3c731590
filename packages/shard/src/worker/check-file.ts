import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import type { InputFile } from './input-file';
import type { CheckJob, CheckResult } from './protocol';
import type { Workspace } from './workspace';

const CHANGED = 'its bytes are not the ones that were written';

/** Compares a file with its checksums, byte by byte: header, tensors, and the padding between them. */
export function checkFile(job: CheckJob, workspace: Workspace): CheckResult {
  const size = statSync(job.path, { throwIfNoEntry: false })?.size;
  if (size === undefined) return { problems: [{ tensor: null, reason: 'the file is missing' }] };
  const problems: { tensor: string | null; reason: string }[] = [];
  if (size !== job.bytes) {
    problems.push({ tensor: null, reason: `expected ${job.bytes} bytes, found ${size}` });
  }
  // What the drive holds is the question, not what the page cache remembers.
  const input = workspace.input(job.path, false);
  if (hashOf(input, 0, job.headerBytes, size, workspace) !== job.headerSha256) {
    const whole = job.headerBytes === job.bytes;
    problems.push({ tensor: null, reason: whole ? CHANGED : 'the header is not the one that was written' });
  }
  let at = job.headerBytes;
  for (const { name, offset, bytes, sha256 } of job.tensors) {
    if (!isZero(input, at, offset, size, workspace)) {
      problems.push({ tensor: null, reason: `the padding before tensor ${JSON.stringify(name)} is not zeros` });
    }
    if (offset + bytes > size) {
      problems.push({
        tensor: name,
        reason: `${Math.min(bytes, offset + bytes - size)} of its ${bytes} bytes are cut off`,
      });
    } else if (hashOf(input, offset, bytes, size, workspace) !== sha256) {
      problems.push({ tensor: name, reason: CHANGED });
    }
    at = offset + bytes;
  }
  return { problems };
}

function hashOf(input: InputFile, offset: number, bytes: number, size: number, workspace: Workspace): string {
  const hash = createHash('sha256');
  for (const chunk of input.chunks(offset, Math.max(0, Math.min(bytes, size - offset)))) {
    hash.update(chunk);
    workspace.advance(chunk.length);
  }
  return hash.digest('hex');
}

function isZero(input: InputFile, from: number, to: number, size: number, workspace: Workspace): boolean {
  let zero = true;
  for (const chunk of input.chunks(from, Math.max(0, Math.min(to, size) - from))) {
    zero &&= chunk.every((byte) => byte === 0);
    workspace.advance(chunk.length);
  }
  return zero;
}
