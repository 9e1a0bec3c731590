import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Checkpoint } from '@airllm/loader';
import type { SourceDescription } from '../manifest';
import type { JournalRecord } from '../target/journal';
import type { TensorPiece, WriteJob, WriteResult } from '../worker/protocol';
import { layoutOf, type PlannedFile, type ShardDType } from './plan';

/** The index that lets transformers and others open a layered folder as a sharded checkpoint. */
export const INDEX_FILE = 'model.safetensors.index.json';

/** One file to be written: what a worker needs for it, and what is recorded of it. */
export interface WorkItem {
  readonly file: string;
  readonly bytes: number;
  job(path: string): WriteJob;
  record(result: WriteResult): JournalRecord;
}

/** The files that come beside the weights: copies, and the index last. */
export async function extraItems(
  checkpoint: Pick<Checkpoint, 'dir'>,
  source: SourceDescription,
  files: readonly PlannedFile[],
  dtype: ShardDType | null,
): Promise<WorkItem[]> {
  const items: WorkItem[] = [];
  for (const { file, bytes, headerSha256 } of source.files) {
    if (headerSha256 !== null) continue;
    const from = path.join(checkpoint.dir, file);
    if (file === 'config.json' && dtype !== null)
      items.push(textItem(file, withDtype(await readFile(from, 'utf8'), dtype)));
    else items.push(copyItem(file, from, bytes));
  }
  return [...items, textItem(INDEX_FILE, indexText(files))];
}

export function weightItem(planned: PlannedFile): WorkItem {
  const { file, role, stack, layer, expert, bytes, tensors } = planned;
  return {
    file,
    bytes,
    job: (path) => {
      const layout = layoutOf(tensors);
      const pieces = tensors.map(({ name, from, dtype, source }, i): TensorPiece => {
        return { name, ...source, from, to: dtype, at: layout.tensors[i]!.offset };
      });
      return { kind: 'write', path, header: layout.bytes, pieces };
    },
    record: ({ headerSha256, sha256 }) => {
      const layout = layoutOf(tensors);
      const headerBytes = layout.bytes.length;
      const stored = layout.tensors.map(({ name, dtype, shape, offset, byteLength }, i) => {
        return { name, dtype, shape, offset, bytes: byteLength, sha256: sha256[i]! };
      });
      return {
        kind: 'file',
        file: { file, role, stack, layer, expert, bytes, headerBytes, headerSha256, tensors: stored },
      };
    },
  };
}

/** A file is copied as one piece without a header. */
function copyItem(file: string, from: string, bytes: number): WorkItem {
  const piece: TensorPiece = { name: file, file: from, offset: 0, length: bytes, from: 'U8', to: 'U8', at: 0 };
  return {
    file,
    bytes,
    job: (path) => ({ kind: 'write', path, header: new Uint8Array(0), pieces: [piece] }),
    record: ({ sha256 }) => ({ kind: 'extra', extra: { file, bytes, sha256: sha256[0]! } }),
  };
}

function textItem(file: string, text: string): WorkItem {
  const header = new TextEncoder().encode(text);
  return {
    file,
    bytes: header.length,
    job: (path) => ({ kind: 'write', path, header, pieces: [] }),
    record: ({ headerSha256 }) => ({ kind: 'extra', extra: { file, bytes: header.length, sha256: headerSha256 } }),
  };
}

function indexText(files: readonly PlannedFile[]): string {
  const weightMap: [string, string][] = [];
  let totalSize = 0;
  for (const { file, tensors } of files) {
    for (const { name, bytes } of tensors) {
      weightMap.push([name, file]);
      totalSize += bytes;
    }
  }
  // `fromEntries` also keeps a tensor called `__proto__`.
  return `${JSON.stringify({ metadata: { total_size: totalSize }, weight_map: Object.fromEntries(weightMap) }, null, 1)}\n`;
}

/** In place, so that everything else keeps its spelling (Python's 1e-05 and 10000.0 among it). */
function withDtype(config: string, dtype: ShardDType): string {
  return config.replace(/("(?:torch_dtype|dtype)"\s*:\s*)"(?:float32|float16|bfloat16)"/g, `$1"${dtype}"`);
}
