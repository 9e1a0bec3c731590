import { BLOCK_POSITIONS, type KvStateSpec, kvBlockBytes, type StateSpec } from '@airllm/kernels';
import type { Model } from '../models/model';
import { stateBytes } from './state-bytes';
import type { DiskStatePlan } from './types';

/** Blocks lie in the file, and in memory while they are there, at multiples of what direct I/O wants. */
const SLOT_ALIGNMENT = 4096;
/** One layer computes with its states while the next one's are read, and the last one's new blocks written. */
const STATE_REGIONS = 2;
/** Threads that read and write states; measured 41 MB for four. */
const THREAD_BYTES = 20.5e6;

type Layers = Pick<Model, 'layers'>;

/** Whether states of a spec leave memory between their layer's turns. Those with a window are small, and stay. */
export function leavesMemory(spec: StateSpec): boolean {
  return spec.window === undefined;
}

/** Bytes of one block in the file. */
export function slotBytes(spec: KvStateSpec): number {
  return Math.ceil(kvBlockBytes(spec) / SLOT_ALIGNMENT) * SLOT_ALIGNMENT;
}

/** Bytes of the states of each layer that leave memory, for one sequence of `length` positions. */
export function diskBytesByLayer({ layers }: Layers, length: number): number[] {
  const blocks = Math.ceil(length / BLOCK_POSITIONS);
  return layers.map(({ graph }) =>
    graph.states.filter(leavesMemory).reduce((sum, spec) => sum + blocks * slotBytes(spec), 0),
  );
}

/** Of the states that there is to be room for. */
export interface StateCounts {
  /** Positions of each sequence. */
  readonly length: number;
  readonly sequences: number;
}

/** The file and the regions for states; null where no state leaves memory. */
export function planDiskState(model: Layers, { length, sequences }: StateCounts, dir: string): DiskStatePlan | null {
  const layers = diskBytesByLayer(model, length).map((layer) => sequences * layer);
  const bytes = layers.reduce((sum, layer) => sum + layer, 0);
  if (bytes === 0) return null;
  const regions = Math.min(STATE_REGIONS, layers.filter((layer) => layer > 0).length);
  return { dir, positions: length, bytes, regionBytes: Math.max(...layers), regions, threadBytes: THREAD_BYTES };
}

/** Bytes of memory that states take; of those on disk: regions, threads, and the states that stay. */
export function stateMemory(
  model: Layers,
  { length, sequences }: StateCounts,
  maxRows: number,
  disk: DiskStatePlan | null,
): number {
  if (disk === null) return sequences * stateBytes(model, length, maxRows);
  return disk.regions * disk.regionBytes + disk.threadBytes + sequences * keptStateBytes(model, length, maxRows);
}

/** Bytes of the states that stay in memory where others are on disk. */
export function keptStateBytes(model: Layers, length: number, maxRows: number): number {
  return stateBytes(model, length, maxRows, (spec) => !leavesMemory(spec));
}

/**
 * Bytes of states that a step of `count` rows reads in passes of `width`, the sequences having `length` positions after
 * it: each pass reads what those before it have stored.
 */
export function streamedState(model: Layers, length: number, count: number, width: number): number {
  let bytes = 0;
  for (let at = length - count; at < length; at += width) {
    bytes += diskBytesByLayer(model, at).reduce((sum, layer) => sum + layer, 0);
  }
  return bytes;
}
