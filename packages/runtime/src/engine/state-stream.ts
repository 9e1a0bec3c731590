import { BLOCK_POSITIONS, type Block, KvState, type LayerState } from '@airllm/kernels';
import type { DiskStatePlan, Segment } from '../plan/types';
import { readBlocks, settled, writeBlocks } from './disk-blocks';
import { DiskState } from './disk-state';
import type { Sequence } from './sequence';
import { StateRegion } from './state-region';
import type { StateStore } from './state-store';
import type { Observer } from './trace';

/** One state in its region. */
interface Mounted {
  readonly state: DiskState;
  readonly view: KvState;
  /** Of block 0 in the region. */
  readonly at: number;
}

/** The states of one layer for the sequences of a pass. */
interface Turn {
  readonly layer: number;
  readonly states: readonly { readonly state: DiskState /** Positions there were before the pass. */; from: number }[];
  mounted: readonly Mounted[];
  /** They are in their region. */
  ready: Promise<void>;
}

/**
 * Brings states from the file to memory in the order of their layers, and what was added to them back. While a layer
 * computes with its states in one region, the next one's are read into another; a region is read into anew as soon as
 * the new blocks of the layer that was there are written.
 */
export class StateStream {
  readonly #store: StateStore;
  readonly #observe: Observer;
  readonly #regions: readonly StateRegion[];
  /** By layer: the segments between which states are looked at. */
  readonly #spans: ReadonlyMap<number, { readonly first: number; readonly last: number }>;
  /** When the region of a turn may be read into. */
  #free: Promise<void>[];
  #turns: Turn[] = [];
  #started = 0;
  readonly #views = new Map<LayerState, KvState>();
  #waitMs = 0;

  constructor(
    plan: DiskStatePlan,
    store: StateStore,
    segments: readonly Segment[],
    layers: readonly Block[],
    observe: Observer = () => {},
  ) {
    this.#store = store;
    this.#observe = observe;
    this.#regions = Array.from({ length: plan.regions }, () => new StateRegion(plan.regionBytes));
    this.#free = this.#regions.map(() => Promise.resolve());
    this.#spans = spansOf(segments, layers);
  }

  /** Milliseconds the engine stood waiting for states. */
  get waitMs(): number {
    return this.#waitMs;
  }

  /** A pass begins, over sequences that have room for its rows already. */
  async begin(sequences: readonly Sequence[]): Promise<void> {
    await this.#store.ready();
    const layers = Math.max(0, ...sequences.map(({ states }) => states.length));
    for (let layer = 0; layer < layers; layer++) {
      const states = sequences.flatMap(({ states, length }) =>
        states[layer]!.flatMap((state) => (state instanceof DiskState ? [{ state, from: length }] : [])),
      );
      if (states.length > 0) this.#turns.push({ layer, states, mounted: [], ready: Promise.resolve() });
    }
    for (const _ of this.#regions) this.#start();
  }

  /** Before a segment of a layer is run: its states are there. */
  async enter({ block, index }: Segment): Promise<void> {
    if (this.#spans.get(block)?.first !== index) return;
    const start = performance.now();
    await this.#turns.find(({ layer }) => layer === block)?.ready;
    this.#waitMs += performance.now() - start;
  }

  /** Whether the states of a layer may leave once this segment has been computed. */
  endsWith({ block, index }: Segment): boolean {
    return this.#spans.get(block)?.last === index;
  }

  /** Sends off the states of a layer, and brings those of a later one. */
  leave({ block }: Segment): void {
    const index = this.#turns.findIndex(({ layer }) => layer === block);
    if (index < 0) return;
    const written = this.#write(this.#turns[index]!, index);
    // Whoever comes to that region, or settles, meets the error.
    written.catch(() => {});
    this.#free[index % this.#regions.length] = written;
    this.#start();
  }

  /** What an executor computes with. */
  host(state: LayerState): LayerState {
    return this.#views.get(state) ?? state;
  }

  /** Waits until nothing is read or written any more, and forgets the pass. Throws what could not be written. */
  async settle(): Promise<void> {
    const work = await Promise.allSettled([...this.#turns.map(({ ready }) => ready), ...this.#free]);
    this.#free = this.#regions.map(() => Promise.resolve());
    this.#turns = [];
    this.#started = 0;
    this.#views.clear();
    for (const result of work) if (result.status === 'rejected') throw result.reason;
  }

  dispose(): void {
    for (const region of this.#regions) region.dispose();
  }

  /** Starts the next turn's reads; its region is free, or will be. */
  #start(): void {
    const index = this.#started;
    const turn = this.#turns[index];
    if (turn === undefined) return;
    this.#started++;
    const region = this.#regions[index % this.#regions.length]!;
    region.clear();
    turn.mounted = turn.states.map(({ state }) => {
      const at = region.used;
      const view = new KvState(region, state.spec);
      view.reserve(state.length);
      this.#views.set(state, view);
      return { state, view, at };
    });
    turn.ready = this.#free[index % this.#regions.length]!.then(() => this.#read(turn, region));
    turn.ready.catch(() => {});
  }

  async #read({ layer, mounted }: Turn, region: StateRegion): Promise<void> {
    const start = performance.now();
    let bytes = 0;
    const reads = mounted.map(({ state, at }) => {
      const { slots, slotBytes } = state;
      bytes += slots.length * slotBytes;
      return readBlocks(this.#store.file, state, { from: 0, to: slots.length, buffer: region.buffer, at });
    });
    await settled(reads);
    const end = performance.now();
    if (bytes > 0) this.#observe({ track: 'read', name: `states of block ${layer}`, start, end, bytes });
  }

  /** The blocks that rows of this pass wrote to. */
  async #write({ states, mounted }: Turn, turn: number): Promise<void> {
    const { buffer } = this.#regions[turn % this.#regions.length]!;
    const writes = mounted.map(({ state, at }, i) => {
      const from = Math.floor(states[i]!.from / BLOCK_POSITIONS);
      const to = Math.ceil(state.length / BLOCK_POSITIONS);
      return writeBlocks(this.#store.file, state, { from, to, buffer, at: at + from * state.slotBytes });
    });
    await settled(writes);
  }
}

/** Of each layer, the first and the last segment with an op that looks at a state. */
function spansOf(segments: readonly Segment[], layers: readonly Block[]) {
  const spans = new Map<number, { first: number; last: number }>();
  for (const { index, block, part } of segments) {
    const ops = layers[block]?.graph.ops.slice(part.from, part.to) ?? [];
    if (!ops.some((op) => 'state' in op)) continue;
    spans.set(block, { first: spans.get(block)?.first ?? index, last: index });
  }
  return spans;
}
