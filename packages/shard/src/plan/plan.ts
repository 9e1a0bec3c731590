import { createHash } from 'node:crypto';
import { type DType, type HeaderLayout, isPadding, layoutHeader, MetaTensor } from '@airllm/loader';
import type { ModelSource, SourceTensor } from '../sources/source';
import { encodeFormats, type StoredMatrix } from '../sources/stored-formats';
import { digitsFor, FileNames } from './file-names';
import { consumptionRank } from './order';
import { type PlannedPiece, type PlannedTensor, planPiece } from './pieces';
import { type FileRole, type Place, placeTensor } from './place';

/** Floating-point types a split can convert to, under PyTorch's names. */
export type ShardDType = 'float32' | 'float16' | 'bfloat16';

/** safetensors' names of these types. */
export const STORED_DTYPE: Readonly<Record<ShardDType, DType>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };

/** A layer file to be written. */
export interface PlannedFile {
  readonly file: string;
  readonly role: FileRole;
  readonly stack: string | null;
  readonly layer: number | null;
  readonly expert: number | null;
  readonly bytes: number;
  readonly headerSha256: string;
  /** In consumption order. */
  readonly pieces: readonly PlannedPiece[];
}

/**
 * The files a model splits into, in consumption order: embeddings, what belongs to no layer, the layers of each stack
 * (each followed by its experts), final norm, head. Depends on names, dtypes, shapes and formats only.
 */
export function planFiles(source: Pick<ModelSource, 'tensors'>, dtype: ShardDType | null): PlannedFile[] {
  const groups = [...groupTensors(source.tensors.values())].sort(byConsumption);
  const digits = countDigits(groups.map((group) => group.place));
  const names = new FileNames();
  return groups.map(({ place, tensors }) => {
    const ordered = place.stack === null ? tensors : inConsumptionOrder(tensors);
    const pieces = ordered.map((tensor) => planPiece(tensor, dtype === null ? null : STORED_DTYPE[dtype]));
    const { role, stack, layer, expert } = place;
    const { layers, experts } = digits.get(stack) ?? { layers: 0, experts: 0 };
    const file = names.claim(place, layers, experts);
    const { bytes, fileBytes } = layoutOf(pieces);
    return { file, role, stack, layer, expert, bytes: fileBytes, headerSha256: sha256(bytes), pieces };
  });
}

/** Header and offsets of a layer file: data 4 KiB-aligned, tensors 64-byte-aligned. Cheap, so nobody keeps it. */
export function layoutOf(pieces: readonly PlannedPiece[]): HeaderLayout {
  const matrices = pieces.flatMap(({ matrix }): StoredMatrix[] => (matrix === undefined ? [] : [matrix]));
  return layoutHeader(tensorsOf(pieces), { metadata: { format: 'pt', ...encodeFormats(matrices) } });
}

/** In the order in which they are stored. */
export function tensorsOf(pieces: readonly PlannedPiece[]): PlannedTensor[] {
  return pieces.flatMap(({ tensors }) => tensors);
}

/** A fingerprint of everything a plan decides, so that a resumed split notices another plan: headers tell it all. */
export function planDigest(files: readonly { readonly file: string; readonly headerSha256: string }[]): string {
  return sha256(files.map(({ file, headerSha256 }) => `${file} ${headerSha256}\n`).join(''));
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

interface Group {
  readonly place: Place;
  readonly tensors: SourceTensor[];
  /** Of its stack, by first appearance in the checkpoint. */
  readonly stackOrder: number;
}

function groupTensors(tensors: Iterable<SourceTensor>): Iterable<Group> {
  const groups = new Map<string, Group>();
  const stacks = new Map<string | null, number>();
  for (const tensor of tensors) {
    if (MetaTensor.isInstance(tensor) && isPadding(tensor)) continue;
    const place = placeTensor(tensor.name);
    const key = JSON.stringify([place.role, place.stack, place.layer, place.expert]);
    let group = groups.get(key);
    if (group === undefined) {
      if (!stacks.has(place.stack)) stacks.set(place.stack, stacks.size);
      group = { place, tensors: [], stackOrder: stacks.get(place.stack)! };
      groups.set(key, group);
    }
    group.tensors.push(tensor);
  }
  return groups.values();
}

const ROLE_ORDER: Readonly<Record<FileRole, number>> = { embed: 0, other: 1, layer: 2, expert: 2, norm: 3, head: 4 };

function byConsumption(a: Group, b: Group): number {
  return (
    ROLE_ORDER[a.place.role] - ROLE_ORDER[b.place.role] ||
    a.stackOrder - b.stackOrder ||
    (a.place.layer ?? -1) - (b.place.layer ?? -1) ||
    (a.place.expert ?? -1) - (b.place.expert ?? -1)
  );
}

function countDigits(places: readonly Place[]): Map<string | null, { layers: number; experts: number }> {
  const digits = new Map<string | null, { layers: number; experts: number }>();
  for (const { stack, layer, expert } of places) {
    const found = digits.get(stack) ?? { layers: 2, experts: 2 };
    found.layers = Math.max(found.layers, digitsFor(layer ?? 0));
    found.experts = Math.max(found.experts, digitsFor(expert ?? 0));
    digits.set(stack, found);
  }
  return digits;
}

function inConsumptionOrder(tensors: readonly SourceTensor[]): SourceTensor[] {
  return tensors
    .map((tensor) => ({ tensor, rank: consumptionRank(placeTensor(tensor.name).rest) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ tensor }) => tensor);
}
