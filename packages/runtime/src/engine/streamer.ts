import { DisposedError, HostBuffer, type Reader } from '@airllm/loader';
import type { Plan, Segment } from '../plan/types';
import { CachedWeights } from './cached-weights';
import { copyWeights } from './copy-weights';
import { type PlacedWeight, readWeights } from './read-weights';
import { Ring } from './ring';
import type { Observer } from './trace';

/** Bytes of reads kept in flight: enough for a drive's queue. A ring for several drives is larger than that. */
const LEAST_IN_FLIGHT = 128 * 1024 * 1024;

/** A read that was started for one turn of the cycle. */
interface Load {
  readonly weights: Promise<readonly PlacedWeight[]>;
  readonly inRing: boolean;
}

/**
 * Brings the segments of a plan into memory in the order they run, over and over. Pinned segments are read once, on
 * their first turn; the others pass through the ring, read ahead as far as it has room, also across the end of a pass
 * into the next one. Where all are pinned, those that the page cache holds are computed with there until their copy has
 * been made. Turns count segments since the streamer was opened: turn = pass · cycle length + place in cycle.
 */
export class Streamer {
  readonly #reader: Reader;
  readonly #observe: Observer;
  readonly #cycle: readonly Segment[];
  readonly #pinnedAt: ReadonlyMap<number, number>;
  /** Segments that are kept elsewhere: never read again. */
  readonly #moved = new Set<number>();
  /** Segments whose pinned memory is lent. */
  readonly #lent = new Set<number>();
  readonly #pinned: HostBuffer | null;
  readonly #ringBuffer: HostBuffer | null;
  readonly #ring: Ring;
  readonly #cached: CachedWeights | null;
  readonly #mostInFlight: number;
  readonly #loaded = new Map<number, readonly PlacedWeight[]>();
  readonly #loads = new Map<number, Load>();
  readonly #waiting = new Set<Promise<unknown>>();
  #inFlight = 0;
  /** Next turn to be run, and next turn to be read. */
  #turn = 0;
  #ahead = 0;
  /** Segments the pass that ends before this turn goes without. */
  #skips: (segment: Segment) => boolean = () => false;
  #passEnd = 0;
  #waitMs = 0;
  /** No read may start: the places are about to be given away anew. */
  #paused = false;
  #disposed = false;

  constructor(plan: Plan, reader: Reader, observe: Observer = () => {}) {
    this.#reader = reader;
    this.#observe = observe;
    this.#cycle = plan.segments.filter((segment) => segment.experts === undefined);
    const pinned = this.#cycle.filter((segment) => plan.pinned[segment.index]);
    const places = new Map<number, number>();
    let bytes = 0;
    for (const segment of pinned) {
      places.set(segment.index, bytes);
      bytes += segment.bytes;
    }
    this.#pinnedAt = places;
    this.#pinned = bytes > 0 ? HostBuffer.allocate(bytes, { label: 'pinned weights' }) : null;
    this.#ring = new Ring(plan.bytes.ring);
    this.#mostInFlight = Math.max(LEAST_IN_FLIGHT, plan.bytes.ring / 2);
    this.#ringBuffer = plan.bytes.ring > 0 ? HostBuffer.allocate(plan.bytes.ring, { label: 'weight ring' }) : null;
    const mapCached = plan.bytes.ring === 0 && plan.device === null ? reader.mapCached?.bind(reader) : undefined;
    const copy = (segment: Segment, goesOn: () => void) => this.#copyPinned(segment, goesOn);
    this.#cached = mapCached === undefined ? null : new CachedWeights({ mapCached, copy });
  }

  /** Milliseconds the engine stood waiting for weights. */
  get waitMs(): number {
    return this.#waitMs;
  }

  /** Bytes of weights that the page cache had, and that passes began to compute with there. */
  get bytesMapped(): number {
    return this.#cached?.bytes ?? 0;
  }

  /** Starts reading now what the first turns need. */
  prefetch(): void {
    this.#readAhead();
  }

  /**
   * Starts a pass. Segments of which `skips` is true are not read for it, and `skip` takes their turns. Throws `ReadError`
   * where weights that are still computed with in the page cache are no longer what they were.
   */
  begin(skips: (segment: Segment) => boolean): void {
    this.#cached?.check();
    this.#skips = skips;
    this.#passEnd = this.#turn + this.#cycle.length;
  }

  /** Lets a turn pass. What was read ahead for it, before the pass was known, must first have arrived. */
  async skip(): Promise<void> {
    await this.#loads.get(this.#turn)?.weights.catch(() => {});
    this.release();
  }

  /** Weights of the segment whose turn it is; `release` must follow before the next one is asked for. */
  async acquire(segment: Segment): Promise<readonly PlacedWeight[]> {
    if (this.#disposed) throw new DisposedError('streamer');
    const expected = this.#segmentAt(this.#turn);
    if (expected !== segment) throw new Error(`segment ${segment.index} out of turn: ${expected.index} is next`);
    this.#readAhead();
    const resident = this.#loaded.get(segment.index);
    if (resident) return resident;
    const load = this.#loads.get(this.#turn);
    if (!load) throw new Error(`segment ${segment.index} of ${segment.bytes} bytes does not fit the ring`);
    const start = performance.now();
    try {
      return await load.weights;
    } finally {
      const end = performance.now();
      this.#waitMs += end - start;
      this.#observe({ track: 'wait', name: segmentName(segment), start, end });
    }
  }

  /** The weights of a segment if they stay where they are when it is released. */
  resident(segment: Segment): readonly PlacedWeight[] | undefined {
    return this.#loaded.get(segment.index);
  }

  /** The segment whose turn it is has found a place of its own, for good: later turns of it only `skip`. */
  moveOut(segment: Segment): void {
    this.#moved.add(segment.index);
  }

  /** A segment has lost that place. Only after a pass that broke off. */
  moveBack(segment: Segment): void {
    this.#moved.delete(segment.index);
  }

  /** Gives the current segment's place back and goes on to the next turn. */
  release(): void {
    const load = this.#loads.get(this.#turn);
    this.#loads.delete(this.#turn);
    if (load?.inRing) this.#ring.give();
    this.#turn++;
    this.#readAhead();
  }

  /** Forgets a pass that was broken off: the next `acquire` starts a pass anew. Pinned segments stay. */
  async restart(): Promise<void> {
    this.#paused = true;
    await this.#settle();
    this.#paused = false;
    for (const { index } of this.#cached?.takeFailed() ?? []) this.#loaded.delete(index);
    this.#loads.clear();
    this.#ring.clear();
    this.#turn = 0;
    this.#ahead = 0;
    this.#passEnd = 0;
  }

  /**
   * Between passes: gives the memory of pinned segments that are not `kept` back to the system until `reclaim`. They pass
   * through the ring meanwhile.
   */
  async lend(kept: readonly boolean[]): Promise<void> {
    const lent = [...this.#pinnedAt].filter(([index]) => !kept[index]);
    const first = this.#cycle.findIndex(({ index }) => this.#pinnedAt.has(index) && !kept[index]);
    // Looking ahead has come past one of them (or a pass was broken off): it must begin anew.
    if (this.#turn % this.#cycle.length !== 0 || this.#ahead > this.#turn + first) await this.restart();
    for (const [index] of lent) {
      this.#lent.add(index);
      this.#loaded.delete(index);
    }
    const from = Math.min(...lent.map(([, at]) => at));
    if (lent.length > 0) this.#pinned?.discard(from, this.#pinned.byteLength - from);
  }

  /** Segments whose memory was lent are pinned again as they are read. */
  reclaim(): void {
    this.#lent.clear();
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#cached?.end();
    await this.#settle();
    this.#loads.clear();
    this.#loaded.clear();
    this.#pinned?.dispose();
    this.#ringBuffer?.dispose();
  }

  /** Waits until nothing writes into the buffers any more; the caller sees to it that no new read starts meanwhile. */
  async #settle(): Promise<void> {
    await Promise.allSettled([...this.#waiting]);
  }

  #segmentAt(turn: number): Segment {
    return this.#cycle[turn % this.#cycle.length]!;
  }

  /** Starts reads for the turns to come while there is room for them. */
  #readAhead(): void {
    // Never a whole cycle ahead: a segment must not be in memory twice.
    while (!this.#disposed && !this.#paused && this.#ahead < this.#turn + this.#cycle.length) {
      const segment = this.#segmentAt(this.#ahead);
      const skipped = (this.#ahead < this.#passEnd && this.#skips(segment)) || this.#moved.has(segment.index);
      if (!skipped && !this.#loaded.has(segment.index) && !this.#start(segment)) return;
      this.#ahead++;
    }
  }

  #start(segment: Segment): boolean {
    // The segment whose turn it is must be read, whatever else is in flight.
    if (this.#ahead > this.#turn && this.#inFlight + segment.bytes > this.#mostInFlight) return false;
    const pinnedAt = this.#lent.has(segment.index) ? undefined : this.#pinnedAt.get(segment.index);
    const at = pinnedAt ?? this.#ring.take(segment.bytes);
    if (at === null) return false;
    const buffer = pinnedAt === undefined ? this.#ringBuffer! : this.#pinned!;
    const read = () => this.#read(segment, buffer, at);
    const bring = pinnedAt === undefined ? read : async () => (await this.#find(segment)) ?? read();
    const weights = this.#during(segment, bring).then((placed) => {
      if (pinnedAt !== undefined) this.#loaded.set(segment.index, placed);
      return placed;
    });
    // Whoever acquires the segment meets the error; until then it must not count as unhandled.
    weights.catch(() => {});
    this.#loads.set(this.#ahead, { weights, inRing: pinnedAt === undefined });
    return true;
  }

  /** Brings weights; until that has ended their place is nobody else's. */
  #during<T>(segment: Segment, bring: () => Promise<T>): Promise<T> {
    this.#inFlight += segment.bytes;
    const brought = bring().finally(() => {
      this.#inFlight -= segment.bytes;
      this.#waiting.delete(brought);
      this.#readAhead();
    });
    this.#waiting.add(brought);
    return brought;
  }

  async #read(segment: Segment, buffer: HostBuffer, at: number): Promise<readonly PlacedWeight[]> {
    const start = performance.now();
    try {
      return await readWeights(this.#reader, segment.weights, buffer, at);
    } finally {
      this.#tell('read', segment, start);
    }
  }

  /** Weights that need not be read for now. */
  async #find(segment: Segment): Promise<readonly PlacedWeight[] | null> {
    const start = performance.now();
    const placed = (await this.#cached?.find(segment)) ?? null;
    if (placed !== null) this.#tell('map', segment, start);
    return placed;
  }

  /** Gives a segment that was found the place it is to stay in, which nothing else is read to. */
  async #copyPinned(segment: Segment, goesOn: () => void): Promise<void> {
    const at = this.#pinnedAt.get(segment.index)!;
    const start = performance.now();
    const placed = await copyWeights(this.#reader, segment.weights, this.#pinned!, at, { goesOn });
    this.#tell('read', segment, start);
    this.#loaded.set(segment.index, placed);
  }

  #tell(track: 'read' | 'map', segment: Segment, start: number): void {
    this.#observe({ track, name: segmentName(segment), start, end: performance.now(), bytes: segment.bytes });
  }
}

/** For people: where in the model a segment is. */
export function segmentName({ block, part }: Pick<Segment, 'block' | 'part'>): string {
  const slice = part.slice === undefined ? '' : ` rows ${part.slice.from}–${part.slice.to - 1}`;
  return `block ${block} ops ${part.from}–${part.to - 1}${slice}`;
}
