import { createHash } from 'node:crypto';
import {
  type Checkpoint,
  type DType,
  type Extent,
  type HeaderLayout,
  isPadding,
  layoutHeader,
  type MetaTensor,
  MissingTensorError,
  type TensorSpec,
  tensorBytes,
} from '@airllm/loader';
import { digitsFor, FileNames } from './file-names';
import { consumptionRank } from './order';
import { type FileRole, type Place, placeTensor } from './place';

/** Floating-point types a split can convert to, under PyTorch's names. */
export type ShardDType = 'float32' | 'float16' | 'bfloat16';

/** safetensors' names of these types. */
export const STORED_DTYPE: Readonly<Record<ShardDType, DType>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };

/** A tensor on its way from the source to a layer file. */
export interface PlannedTensor {
  readonly name: string;
  /** As stored in the source. */
  readonly from: DType;
  /** As it will be stored. */
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** As it will be stored. */
  readonly bytes: number;
  readonly source: Extent;
}

/** A layer file to be written. */
export interface PlannedFile {
  readonly file: string;
  readonly role: FileRole;
  readonly stack: string | null;
  readonly layer: number | null;
  readonly expert: number | null;
  readonly bytes: number;
  /** In consumption order. */
  readonly tensors: readonly PlannedTensor[];
}

/**
 * The files a checkpoint splits into, in consumption order: embeddings, what belongs to no layer, the layers of each
 * stack (each followed by its experts), final norm, head. Depends on names, dtypes and shapes only.
 */
export function planFiles(checkpoint: Pick<Checkpoint, 'tensors'>, dtype: ShardDType | null): PlannedFile[] {
  const groups = [...groupTensors(checkpoint.tensors.values())].sort(byConsumption);
  const digits = countDigits(groups.map((group) => group.place));
  const names = new FileNames();
  return groups.map(({ place, tensors }) => {
    const ordered = place.stack === null ? tensors : inConsumptionOrder(tensors);
    const planned = ordered.map((tensor) => planTensor(tensor, dtype));
    const { role, stack, layer, expert } = place;
    const { layers, experts } = digits.get(stack) ?? { layers: 0, experts: 0 };
    const file = names.claim(place, layers, experts);
    return { file, role, stack, layer, expert, bytes: layoutOf(planned).fileBytes, tensors: planned };
  });
}

/** Header and offsets of a layer file: data 4 KiB-aligned, tensors 64-byte-aligned. Cheap, so nobody keeps it. */
export function layoutOf(tensors: readonly PlannedTensor[]): HeaderLayout {
  return layoutHeader(tensors, { metadata: { format: 'pt' } });
}

/** What planned files and those of a manifest have in common. */
interface Laid {
  readonly file: string;
  readonly tensors: readonly TensorSpec[];
}

/** A fingerprint of everything a plan decides, so that a resumed split notices another plan. */
export function planDigest(files: readonly Laid[]): string {
  const hash = createHash('sha256');
  for (const { file, tensors } of files) {
    hash.update(`${file}\n`);
    for (const { name, dtype, shape } of tensors) hash.update(`${JSON.stringify([name, dtype, shape])}\n`);
  }
  return hash.digest('hex');
}

interface Group {
  readonly place: Place;
  readonly tensors: MetaTensor[];
  /** Of its stack, by first appearance in the checkpoint. */
  readonly stackOrder: number;
}

function groupTensors(tensors: Iterable<MetaTensor>): Iterable<Group> {
  const groups = new Map<string, Group>();
  const stacks = new Map<string | null, number>();
  for (const tensor of tensors) {
    if (isPadding(tensor)) continue;
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

function inConsumptionOrder(tensors: readonly MetaTensor[]): MetaTensor[] {
  return tensors
    .map((tensor) => ({ tensor, rank: consumptionRank(placeTensor(tensor.name).rest) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ tensor }) => tensor);
}

const CONVERTIBLE: ReadonlySet<DType> = new Set<DType>(['F32', 'F16', 'BF16']);

function planTensor(tensor: MetaTensor, dtype: ShardDType | null): PlannedTensor {
  if (tensor.extent === undefined) {
    throw new MissingTensorError({
      tensor: tensor.name,
      reason: 'it has no bytes to split; open a checkpoint with weights',
    });
  }
  const to = dtype !== null && CONVERTIBLE.has(tensor.dtype) ? STORED_DTYPE[dtype] : tensor.dtype;
  return {
    name: tensor.name,
    from: tensor.dtype,
    dtype: to,
    shape: tensor.shape,
    bytes: to === tensor.dtype ? tensor.byteLength : tensorBytes(to, tensor.shape),
    source: tensor.extent,
  };
}
