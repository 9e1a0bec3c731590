import { type MetaTensor, UnsupportedCheckpointError } from '@airllm/loader';
import { FORMATS } from './formats/registry';
import { isConversion, type QuantFormat, type RawCheckpoint, type SourceTensor } from './source';
import type { StoredCheckpoint } from './stored-checkpoint';
import { decodeFormats, packedOf } from './stored-formats';

export interface ResolvedSource {
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  /** Names of the formats that had a say. */
  readonly formats: readonly string[];
}

/** What the tensors of a checkpoint mean: our own packed matrices, what published formats take, and the rest as it is. */
export async function resolveTensors(stored: StoredCheckpoint, raw: RawCheckpoint): Promise<ResolvedSource> {
  const taken = new Map<string, SourceTensor>(stored.views.map((view) => [view.name, view]));
  const left = new Map(raw.tensors);
  takeOwn(stored, taken, left);
  const formats: string[] = [];
  for (const format of FORMATS) {
    const rest: RawCheckpoint = { ...raw, tensors: left };
    if (!format.detect(rest)) continue;
    const { tensors, used } = await format.resolve(rest);
    for (const [name, tensor] of tensors) taken.set(name, tensor);
    for (const name of used) left.delete(name);
    for (const name of tensors.keys()) left.delete(name);
    formats.push(format.name);
  }
  if (formats.length === 0 && taken.size === stored.views.length) refuseUnknown(raw, FORMATS);
  for (const [name, tensor] of left) taken.set(name, tensor);
  return { tensors: inOrder(stored.files, taken), formats };
}

/** Matrices that a split has written: their components are told by the files themselves. */
function takeOwn(stored: StoredCheckpoint, taken: Map<string, SourceTensor>, left: Map<string, MetaTensor>): void {
  for (const [i, metadata] of stored.metadata.entries()) {
    const file = stored.files[i]!;
    for (const matrix of decodeFormats(file, metadata)) {
      const packed = packedOf(file, matrix, stored.tensors);
      taken.set(matrix.name, packed);
      for (const [, { name }] of packed.parts()) left.delete(name);
    }
  }
}

/** A method nobody knows matters only where a tensor is not plain floats. */
function refuseUnknown(raw: RawCheckpoint, formats: readonly QuantFormat[]): void {
  const method = raw.quantisation?.quant_method;
  if (typeof method !== 'string') return;
  const packed = [...raw.tensors.values()].find(({ dtype, shape }) => shape.length >= 2 && !FLOATS.has(dtype));
  if (packed === undefined) return;
  const known = formats.map(({ name }) => name).join(', ');
  throw new UnsupportedCheckpointError({
    dir: raw.dir,
    found: [packed.extent?.file ?? raw.dir],
    reason:
      `quantised by ${JSON.stringify(method)} (tensor ${JSON.stringify(packed.name)} is ${packed.dtype}), ` +
      `which is not known; known are ${known}: use another version of the model`,
  });
}

const FLOATS: ReadonlySet<string> = new Set(['F32', 'F16', 'BF16', 'F64']);

/** By the place of the first byte that each needs. */
function inOrder(
  files: readonly string[],
  tensors: ReadonlyMap<string, SourceTensor>,
): ReadonlyMap<string, SourceTensor> {
  const numbers = new Map(files.map((file, i) => [file, i]));
  const placed = [...tensors].map(([name, tensor]) => ({ name, tensor, ...firstPlace(tensor, numbers) }));
  placed.sort((a, b) => a.file - b.file || a.offset - b.offset);
  return new Map(placed.map(({ name, tensor }) => [name, tensor]));
}

/** Behind all that lies somewhere. */
const NOWHERE = Number.MAX_SAFE_INTEGER;

function firstPlace(
  tensor: SourceTensor,
  numbers: ReadonlyMap<string, number>,
): { readonly file: number; readonly offset: number } {
  let first = { file: NOWHERE, offset: NOWHERE };
  for (const { extent } of storedParts(tensor)) {
    if (extent === undefined) continue;
    const file = numbers.get(extent.file) ?? NOWHERE;
    if (file < first.file || (file === first.file && extent.offset < first.offset))
      first = { file, offset: extent.offset };
  }
  return first;
}

/** The stored tensors that one of a model is made of. */
export function storedParts(tensor: SourceTensor): readonly MetaTensor[] {
  if (isConversion(tensor)) return Object.values(tensor.inputs);
  return 'components' in tensor ? tensor.parts().map(([, part]) => part) : [tensor];
}
