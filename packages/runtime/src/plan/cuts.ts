import type { Model } from '../models/model';
import { type CutSizes, cutSizes } from './cut-sizes';
import { segmentSizesOf } from './segment-sizes';
import { type CutOptions, cutSegments } from './segments';
import type { Segment } from './types';

export interface CutsOptions extends Omit<CutOptions, 'segmentBytes'> {
  /** Bytes of a ring that there is in any case: through it goes what is kept elsewhere. @defaultValue 0 */
  readonly leastRing?: number | undefined;
}

/** How large the pieces of a cut may be, and the ring in any case. */
export interface Cut extends CutSizes {
  readonly leastRing: number;
}

/** The cuts of a model that a plan may choose from: each is measured once, and made only when it is chosen. */
export class Cuts {
  /** Segment sizes worth trying, largest first, in bytes. */
  readonly sizes: readonly number[];
  readonly #model: Model;
  readonly #options: CutsOptions;
  readonly #known = new Map<number, Cut>();

  constructor(model: Model, options: CutsOptions) {
    this.sizes = segmentSizesOf(model);
    this.#model = model;
    this.#options = options;
  }

  at(segmentBytes: number): Cut {
    const { leastRing = 0, ...options } = this.#options;
    const cut = this.#known.get(segmentBytes) ?? { ...cutSizes(this.#model, { ...options, segmentBytes }), leastRing };
    this.#known.set(segmentBytes, cut);
    return cut;
  }

  segments(segmentBytes: number): Segment[] {
    return cutSegments(this.#model, { ...this.#options, segmentBytes });
  }
}
