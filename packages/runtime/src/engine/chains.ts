import type { Chain, ChainLink, Executor } from '@airllm/kernels';
import type { Plan, Segment } from '../plan/types';
import type { PlacedWeight } from './read-weights';
import type { Streamer } from './streamer';

/** Weights of the segments that are handed over together: some hundredths of a second of reading memory, then a pass can be broken off. */
const MOST_BYTES = 512 * 1024 * 1024;
/** More rows take so long to compute that it does not matter how they are handed over. */
const MOST_ROWS = 16;

/** Segments that are computed one after the other, with their chain once it has been made. */
interface Run {
  readonly segments: readonly Segment[];
  made?: { readonly chain: Chain; readonly weights: readonly (readonly PlacedWeight[])[] };
}

/** A chain that is ready, and what it computes. */
export interface ReadyChain {
  readonly chain: Chain;
  readonly segments: readonly Segment[];
}

export interface ChainsOptions {
  readonly plan: Plan;
  readonly executor: Executor;
  readonly streamer: Streamer;
  /** What of a segment's call stays the same from pass to pass, on the plan's buffers. */
  readonly link: (segment: Segment, weights: readonly PlacedWeight[]) => ChainLink;
  /** Segments whose results must be known before the next one is run. */
  readonly awaited: (segment: Segment) => boolean;
}

/**
 * Runs of segments that stay in memory, each of which is handed to the executor at once: with few rows a segment takes
 * about a millisecond, and calls of their own would cost a tenth of it. Made when their weights are there.
 */
export class Chains {
  readonly #options: ChainsOptions;
  /** By the index of the first segment. */
  readonly #runs = new Map<number, Run>();

  constructor(options: ChainsOptions) {
    this.#options = options;
    const { plan, executor } = options;
    // A device's segments are its own; states that come from disk are waited for layer by layer.
    if (executor.chain === undefined || plan.device !== null || plan.diskState !== null) return;
    for (const segments of cutRuns(plan, options.awaited)) this.#runs.set(segments[0]!.index, { segments });
  }

  /** The chain that begins with a segment, for a pass of so many rows; undefined where there is none (yet). */
  from(segment: Segment, rows: number): ReadyChain | undefined {
    const run = rows > MOST_ROWS ? undefined : this.#runs.get(segment.index);
    if (run === undefined) return undefined;
    const weights: (readonly PlacedWeight[])[] = [];
    for (const each of run.segments) {
      const resident = this.#options.streamer.resident(each);
      if (resident === undefined) return undefined;
      weights.push(resident);
    }
    const { segments, made } = run;
    // Weights may have been lent meanwhile, and read again.
    if (made?.weights.every((placed, i) => placed === weights[i])) return { chain: made.chain, segments };
    made?.chain.dispose();
    const links = segments.map((each, i) => this.#options.link(each, weights[i]!));
    const chain = this.#options.executor.chain!(links);
    run.made = { chain, weights };
    return { chain, segments };
  }

  dispose(): void {
    for (const { made } of this.#runs.values()) made?.chain.dispose();
    this.#runs.clear();
  }
}

/** Pinned segments side by side; the head by itself, because it may have other rows than the layers. */
function cutRuns(plan: Plan, awaited: (segment: Segment) => boolean): Segment[][] {
  const head = plan.segments.at(-1)!.block;
  const runs: Segment[][] = [];
  let run: Segment[] = [];
  let bytes = 0;
  for (const segment of plan.segments) {
    const chained = plan.pinned[segment.index]! && segment.experts === undefined && !awaited(segment);
    const starts = run.length === 0 || bytes + segment.bytes > MOST_BYTES || isHead(run[0]!) !== isHead(segment);
    if (!chained || starts) run = [];
    if (!chained) continue;
    if (starts) {
      runs.push(run);
      bytes = 0;
    }
    run.push(segment);
    bytes += segment.bytes;
  }
  return runs;

  function isHead({ block }: Segment): boolean {
    return block === head;
  }
}
