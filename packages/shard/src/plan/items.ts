import path from 'node:path';
import type { ManifestTensor, SourceDescription } from '../manifest';
import { MISLEADING_FILES } from '../source';
import type { JournalRecord } from '../target/journal';
import type { ConvertPiece, CopyPiece, WriteJob, WriteResult } from '../worker/protocol';
import { fileOf, type PlannedPiece, sourceOf } from './pieces';
import { layoutOf, type PlannedFile, tensorsOf } from './plan';

/** The index that lets transformers and others open a layered folder as a sharded checkpoint. */
const INDEX_FILE = 'model.safetensors.index.json';
/**
 * The same where matrices are packed, under a name that transformers does not look for: it goes on past a quantisation
 * method that it does not know, with a warning, and would take codes of 8 bits for weights.
 */
export const PACKED_INDEX_FILE = 'airllm.safetensors.index.json';

/** One file to be written: what a worker needs for it, and what is recorded of it. */
export interface WorkItem {
  readonly file: string;
  readonly bytes: number;
  job(path: string): WriteJob;
  record(result: WriteResult): JournalRecord;
}

/** The files that come beside the weights: copies (`texts` goes before what lies in the folder), and the index last. */
export function extraItems(
  dir: string,
  source: SourceDescription,
  texts: ReadonlyMap<string, string>,
  files: readonly PlannedFile[],
  packed: boolean,
): WorkItem[] {
  const copies = source.files.filter(
    ({ file, headerSha256 }) => headerSha256 === null && !texts.has(file) && !MISLEADING_FILES.has(file),
  );
  return [
    ...copies.map(({ file, bytes }) => copyItem(file, path.join(dir, file), bytes)),
    ...[...texts].map(([file, text]) => textItem(file, text)),
    textItem(packed ? PACKED_INDEX_FILE : INDEX_FILE, indexText(files)),
  ];
}

export function weightItem(planned: PlannedFile): WorkItem {
  const { file, role, stack, layer, expert, bytes, headerSha256, pieces } = planned;
  return {
    file,
    bytes,
    job: (path) => {
      const layout = layoutOf(pieces);
      const places = layout.tensors.values();
      return { kind: 'write', path, header: layout.bytes, pieces: pieces.flatMap((piece) => workOf(piece, places)) };
    },
    record: ({ tensors: written }) => {
      const layout = layoutOf(pieces);
      const headerBytes = layout.bytes.length;
      const tensors = layout.tensors.map(({ name, dtype, shape, offset, byteLength }, i): ManifestTensor => {
        return { name, dtype, shape, offset, bytes: byteLength, ...written[i]! };
      });
      return { kind: 'file', file: { file, role, stack, layer, expert, bytes, headerBytes, headerSha256, tensors } };
    },
  };
}

/** `places`: of the tensors from this piece's first on. */
function workOf(
  { tensors, work }: PlannedPiece,
  places: Iterator<{ readonly offset: number }>,
): (CopyPiece | ConvertPiece)[] {
  const at = tensors.map(() => places.next().value!.offset as number);
  if (work.kind === 'copy') {
    return work.from.map(({ dtype, source }, i): CopyPiece => {
      const { name, dtype: to } = tensors[i]!;
      return { kind: 'copy', name, source, from: dtype, to, at: at[i]! };
    });
  }
  const { conversion, parts } = work;
  const { name, shape, codec, params } = conversion;
  const inputs = Object.fromEntries(Object.entries(conversion.inputs).map(([key, tensor]) => [key, sourceOf(tensor)]));
  const placed = parts.map((part, i) => ({ ...part, to: tensors[i]!.dtype, at: at[i]! }));
  return [{ kind: 'convert', name, file: fileOf(conversion), codec, params, shape, inputs, parts: placed }];
}

/** A file is copied as one piece without a header. */
function copyItem(file: string, from: string, bytes: number): WorkItem {
  const source = { file: from, offset: 0, length: bytes };
  const piece: CopyPiece = { kind: 'copy', name: file, source, from: 'U8', to: 'U8', at: 0 };
  return {
    file,
    bytes,
    job: (path) => ({ kind: 'write', path, header: new Uint8Array(0), pieces: [piece] }),
    record: ({ tensors }) => ({ kind: 'extra', extra: { file, bytes, sha256: tensors[0]!.sha256 } }),
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
  for (const { file, pieces } of files) {
    for (const { name, bytes } of tensorsOf(pieces)) {
      weightMap.push([name, file]);
      totalSize += bytes;
    }
  }
  // `fromEntries` also keeps a tensor called `__proto__`.
  return `${JSON.stringify({ metadata: { total_size: totalSize }, weight_map: Object.fromEntries(weightMap) }, null, 1)}\n`;
}
