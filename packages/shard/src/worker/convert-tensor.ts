import { type ConversionPart, convertRanges, rowCount } from '../sources/convert';
import type { Codec } from '../sources/source';
import { ConversionInputs } from './conversion-inputs';
import { floatChanger } from './copy-tensor';
import { type ConvertPiece, JobFailure, type WrittenTensor } from './protocol';
import type { TensorWriter } from './tensor-writer';
import type { Workspace } from './workspace';

/** Of rows that are made at a time. */
const RANGE_BYTES = 4 << 20;
/** Of components that are kept until the one before them is written; the rest takes another run over the tensor. */
const KEPT_BYTES = 48 << 20;

type Part = ConvertPiece['parts'][number];

/**
 * Rewrites one tensor with a codec, a range of rows at a time: its first component streams into the file, small ones
 * are kept until it is complete, and large ones get a run of their own. What was written of each part.
 */
export function convertTensor(
  piece: ConvertPiece,
  codecs: readonly Codec[],
  writer: TensorWriter,
  workspace: Workspace,
): WrittenTensor[] {
  const codec = codecs.find(({ name }) => name === piece.codec);
  if (codec === undefined) throw codecFailure(piece, 'no such codec in this release');
  const inputs = new ConversionInputs(piece.inputs, workspace);
  try {
    return runsOf(piece.parts).flatMap((parts) => convertRun(piece, codec, parts, { inputs, writer, workspace }));
  } finally {
    inputs.close();
  }
}

/** Parts in order, cut into runs: one that streams, and those behind it that fit into memory. */
function runsOf(parts: readonly Part[]): Part[][] {
  const runs: Part[][] = [];
  let kept = 0;
  for (const part of parts) {
    const run = runs.at(-1);
    if (run !== undefined && kept + part.bytes <= KEPT_BYTES) {
      run.push(part);
      kept += part.bytes;
    } else {
      runs.push([part]);
      kept = 0;
    }
  }
  return runs;
}

interface Tools {
  readonly inputs: ConversionInputs;
  readonly writer: TensorWriter;
  readonly workspace: Workspace;
}

function convertRun(piece: ConvertPiece, codec: Codec, parts: readonly Part[], tools: Tools): WrittenTensor[] {
  const { inputs, writer, workspace } = tools;
  const [streamed, ...kept] = parts as [Part, ...Part[]];
  const rows = rowCount(piece.shape);
  const memories = new Map(kept.map((part) => [part.output, workspace.memory(part.output, part.bytes)]));
  let range: Uint8Array = new Uint8Array(0);
  const memory = (part: ConversionPart, from: number, to: number) => {
    const rowBytes = part.bytes / rows;
    const whole = memories.get(part.output);
    if (whole !== undefined) return part.rowwise ? whole.subarray(from * rowBytes, to * rowBytes) : whole;
    range = workspace.memory('range', part.rowwise ? (to - from) * rowBytes : part.bytes);
    return range;
  };
  const lost = { error: 0, norm: 0 };
  const measure = (error: number, norm: number) => {
    lost.error += error;
    lost.norm += norm;
  };
  const call = { conversion: piece, codec, parts, read: inputs.read, rangeBytes: RANGE_BYTES, measure };
  writer.begin(streamed.at);
  const emit = floatChanger(changeOf(piece, streamed), writer.append);
  guarded(piece, () => {
    for (const _ of convertRanges(call, memory)) {
      // What comes whole is there after the first call.
      emit(range);
      range = new Uint8Array(0);
    }
  });
  const error = lost.norm > 0 ? { error: Math.sqrt(lost.error / lost.norm) } : {};
  const written: WrittenTensor[] = [{ sha256: writer.end(), ...(streamed.output === 'codes' && error) }];
  for (const part of kept) {
    writer.begin(part.at);
    floatChanger(changeOf(piece, part), writer.append)(memories.get(part.output)!);
    written.push({ sha256: writer.end() });
  }
  return written;
}

function changeOf({ name, file }: ConvertPiece, { dtype, to }: Part) {
  return { name, source: { file }, from: dtype, to };
}

/** Whatever a codec throws is told with the tensor it was thrown for. */
function guarded(piece: ConvertPiece, action: () => void): void {
  try {
    action();
  } catch (error) {
    throw error instanceof JobFailure ? error : codecFailure(piece, (error as Error).message);
  }
}

function codecFailure({ file, name, codec }: ConvertPiece, message: string): JobFailure {
  return new JobFailure({ kind: 'codec', file, tensor: name, message: `cannot be converted (${codec}): ${message}` });
}
