import { type Block, BlockPool, createState, type LayerState, type StateSpec } from '@airllm/kernels';
import type { ScratchStats } from '@airllm/loader';
import type { Model } from '../models/model';
import { stateBytes } from '../plan/state-bytes';
import { diskBytesByLayer, keptStateBytes, leavesMemory } from '../plan/state-place';
import type { Plan } from '../plan/types';
import { type StateBlocks, stateBlocks } from './state-blocks';
import { StateStore } from './state-store';
import { StateStream } from './state-stream';
import type { Observer } from './trace';

export interface HostStatesOptions {
  readonly plan: Plan;
  /** What the host computes of the model. */
  readonly share: Pick<Model, 'layers'>;
  /** All layers, as the plan's segments count them. */
  readonly layers: readonly Block[];
  readonly observe: Observer;
}

/** States of what the host computes: in blocks of memory, or in a file where the plan has them there. */
export class HostStates {
  /** Null where all states are in memory. */
  readonly stream: StateStream | null;
  readonly #plan: Plan;
  readonly #share: Pick<Model, 'layers'>;
  readonly #pool: BlockPool;
  readonly #store: StateStore | null;

  constructor({ plan, share, layers, observe }: HostStatesOptions) {
    const { diskState } = plan;
    this.#plan = plan;
    this.#share = share;
    this.#pool = new BlockPool({ limitBytes: plan.bytes.state - fixedBytes(plan) });
    this.#store = diskState && new StateStore(diskState);
    this.stream = diskState && new StateStream(diskState, this.#store!, plan.segments, layers, observe);
  }

  /**
   * What a sequence of up to `maxLength` positions takes of `plan.bytes.state`, so that those which fit together find
   * room. On disk it is a share: of the regions, or of what stays in memory, whichever is more.
   */
  need(maxLength: number): number {
    const { diskState, maxRows, bytes } = this.#plan;
    if (diskState === null) return stateBytes(this.#share, maxLength, maxRows);
    const onDisk = this.#diskBytes(maxLength) / diskState.bytes;
    const limit = this.#pool.limitBytes;
    const kept = limit === 0 ? 0 : keptStateBytes(this.#share, maxLength, maxRows) / limit;
    return Math.floor(Math.max(onDisk, kept) * bytes.state);
  }

  /** Makes sure that a drive has room for such a sequence. Throws `StateSpaceError`, `WriteError`. */
  async admit(maxLength: number): Promise<void> {
    await this.#store?.admit(this.#diskBytes(maxLength));
  }

  create(spec: StateSpec, layer: number, maxLength: number): LayerState {
    if (this.#store === null || !leavesMemory(spec)) return createState(this.#pool, spec);
    return this.#store.create(spec, layer, maxLength);
  }

  /** The blocks of a state; null where it is on a device that does not give it. */
  blocks(state: LayerState): StateBlocks | null {
    return stateBlocks(state, () => this.#store!.file);
  }

  /** Of the file. */
  get stats(): ScratchStats {
    return this.#store?.stats ?? { bytesRead: 0, bytesWritten: 0 };
  }

  async dispose(): Promise<void> {
    this.stream?.dispose();
    this.#pool.dispose();
    await this.#store?.dispose();
  }

  #diskBytes(maxLength: number): number {
    return diskBytesByLayer(this.#share, maxLength).reduce((sum, bytes) => sum + bytes, 0);
  }
}

function fixedBytes({ diskState }: Plan): number {
  return diskState === null ? 0 : diskState.regions * diskState.regionBytes + diskState.threadBytes;
}
