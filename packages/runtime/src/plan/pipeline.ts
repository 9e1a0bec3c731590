/** A segment as the pipeline sees it. */
export interface PipelineStep {
  /** Of the drive; 0 for what is in memory. */
  readonly readSeconds: number;
  /** Of the ring, from the start of its read until it has run; 0 for what has a place of its own. */
  readonly ringBytes: number;
  /** Read only when the step before it has run: routed experts. */
  readonly onDemand: boolean;
  readonly computeSeconds: number;
}

export interface PipelineOptions {
  readonly ringBytes: number;
  /** Until a read's first bytes are there, where the drive stood still before it. */
  readonly latencySeconds: number;
  /** Between two passes: embedding and sampling. */
  readonly betweenSeconds: number;
  /** The first pass from a cold start, instead of one among many. */
  readonly first: boolean;
}

/** Passes after which reading ahead has settled. */
const SETTLED_PASSES = 3;

/**
 * Seconds of a pass in which one drive reads segments in order, as far ahead as the ring has room, also into the next
 * pass, while one processor runs them. Where the drive is slower that is its time, where it is quicker the processor's;
 * near the change, and with a ring of few segments, somewhat more than either.
 */
export function steadyPassSeconds(steps: readonly PipelineStep[], options: PipelineOptions): number {
  const pipeline = new Pipeline(options);
  if (options.first) return pipeline.pass(steps);
  for (let pass = 1; pass < SETTLED_PASSES; pass++) pipeline.pass(steps);
  const start = pipeline.time;
  return pipeline.pass(steps) - start;
}

class Pipeline {
  readonly #options: PipelineOptions;
  /** When the processor and the drive have done all they were given so far. */
  #computed = 0;
  #read = 0;
  /** What is in the ring, oldest first, and when its place is free. */
  readonly #ring: { readonly bytes: number; readonly freeAt: number }[] = [];
  #taken = 0;

  constructor(options: PipelineOptions) {
    this.#options = options;
  }

  get time(): number {
    return this.#computed;
  }

  /** Runs all steps once; the time at their end. */
  pass(steps: readonly PipelineStep[]): number {
    this.#computed += this.#options.betweenSeconds;
    for (const step of steps) {
      if (step.onDemand) this.#runOnDemand(step);
      else this.#run(step);
    }
    return this.#computed;
  }

  #run({ readSeconds, ringBytes, computeSeconds }: PipelineStep): void {
    let ready = this.#computed;
    if (readSeconds > 0) {
      ready = this.#readFrom(this.#roomFor(ringBytes), readSeconds);
    }
    this.#computed = Math.max(this.#computed, ready) + computeSeconds;
    if (ringBytes > 0 && readSeconds > 0) {
      this.#ring.push({ bytes: ringBytes, freeAt: this.#computed });
      this.#taken += ringBytes;
    }
  }

  /** Those in memory run while the others are read; the drive's time counts from the router on. */
  #runOnDemand({ readSeconds, computeSeconds }: PipelineStep): void {
    const ready = readSeconds > 0 ? this.#readFrom(this.#computed, readSeconds) : this.#computed;
    this.#computed = Math.max(this.#computed + computeSeconds, ready);
  }

  /** When the ring has room for so many bytes. */
  #roomFor(bytes: number): number {
    let at = 0;
    while (this.#ring.length > 0 && this.#taken + bytes > this.#options.ringBytes) {
      const oldest = this.#ring.shift()!;
      this.#taken -= oldest.bytes;
      at = oldest.freeAt;
    }
    return at;
  }

  #readFrom(allowed: number, seconds: number): number {
    const idle = allowed > this.#read;
    this.#read = Math.max(this.#read, allowed) + (idle ? this.#options.latencySeconds : 0) + seconds;
    return this.#read;
  }
}
