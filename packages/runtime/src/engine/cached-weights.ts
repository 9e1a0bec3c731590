import { setTimeout } from 'node:timers/promises';
import { DisposedError, type MappedFile, type Reader } from '@airllm/loader';
import type { Segment } from '../plan/types';
import type { PlacedWeight } from './read-weights';

/** What is generated within so many milliseconds of opening a model is not slowed down by copying. */
const FIRST_PAUSE_MS = 1000;

export interface CachedWeightsOptions {
  readonly mapCached: NonNullable<Reader['mapCached']>;
  /**
   * Reads a segment's weights to the place that is theirs, and lets them be computed with there from now on. `goesOn`
   * throws where it is to break off.
   */
  readonly copy: (segment: Segment, goesOn: () => void) => Promise<void>;
  /** Before the first copy. @defaultValue 1000 */
  readonly firstPauseMs?: number | undefined;
}

/**
 * Weights of which the page cache has a copy when they are first wanted: the first passes compute with that one, since
 * taking memory for another and filling it may take longer than these passes. It does not stay so: the cache is the
 * system's, which drops pages as it likes, and the file anyone's who may write to it. So the weights are copied to their
 * place one segment after the other, while the engine generates or has nothing to do.
 */
export class CachedWeights {
  readonly #options: CachedWeightsOptions;
  /** Not copied yet, in the order they were first wanted. */
  readonly #mapped = new Map<Segment, ReadonlySet<MappedFile>>();
  #bytes = 0;
  #copying = false;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;
  #current: Promise<void> = Promise.resolve();

  constructor(options: CachedWeightsOptions) {
    this.#options = options;
  }

  /** Bytes of segments found so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A segment's weights in the page cache; null where it has not all of them. */
  async find(segment: Segment): Promise<readonly PlacedWeight[] | null> {
    if (this.#ended || segment.weights.length === 0) return null;
    const files = new Set<MappedFile>();
    const placed: PlacedWeight[] = [];
    for (const { weight, extent } of segment.weights) {
      const file = await this.#options.mapCached(extent);
      if (file === null) return null;
      files.add(file);
      placed.push({ weight, buffer: file.buffer, offset: extent.offset });
    }
    this.#mapped.set(segment, files);
    this.#bytes += segment.bytes;
    if (!this.#copying) void this.#copyAll();
    return placed;
  }

  /** Before a pass: throws `ReadError` where a file is not what it was, and what copying failed with. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    for (const file of new Set([...this.#mapped.values()].flatMap((files) => [...files]))) file.check();
  }

  /** After a pass that broke off: what could not be copied is to be read like weights that were never in the cache. */
  takeFailed(): readonly Segment[] {
    if (this.#failure === undefined) return [];
    this.#failure = undefined;
    this.#ended = true;
    const segments = [...this.#mapped.keys()];
    this.#mapped.clear();
    return segments;
  }

  /** Resolves when nothing is copied any more. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#current.catch(() => {});
  }

  async #copyAll(): Promise<void> {
    this.#copying = true;
    const goesOn = () => {
      if (this.#ended) throw new DisposedError('weights in the page cache');
    };
    await setTimeout(this.#options.firstPauseMs ?? FIRST_PAUSE_MS, undefined, { ref: false });
    for (const [segment, files] of this.#mapped) {
      if (this.#ended) return;
      try {
        this.#current = this.#options.copy(segment, goesOn);
        await this.#current;
      } catch (error) {
        if (this.#ended) return;
        this.#failure = { error };
        return;
      }
      // What was read may be something else by now; then every pass says so.
      if (![...files].every(unchanged)) return;
      this.#mapped.delete(segment);
      for (const { extent } of segment.weights) {
        for (const file of files) if (file.file === extent.file) file.release(extent);
      }
    }
    this.#copying = false;
  }
}

function unchanged(file: MappedFile): boolean {
  try {
    file.check();
    return true;
  } catch {
    return false;
  }
}
