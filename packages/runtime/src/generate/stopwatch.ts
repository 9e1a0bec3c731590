import type { Engine, EngineStats } from '../engine';
import type { SpeculationStats } from './speculate/speculation';
import type { GenerateStats } from './types';

/** Times one generation, and counts what the drive brought meanwhile. */
export class Stopwatch {
  readonly #engine: Engine;
  readonly #start = performance.now();
  readonly #before: Pick<EngineStats, 'bytesRead' | 'bytesCached' | 'bytesMapped' | 'readMs'>;
  #first: number | undefined;
  #last = 0;
  #cpuAtFirst = 0;
  #cpuAtLast = 0;
  #tokens = 0;
  #passes = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
    // Opening a model begins to read what its first call needs.
    const { stats } = engine;
    this.#before = stats.passes === 0 ? { bytesRead: 0, bytesCached: 0, bytesMapped: 0, readMs: 0 } : stats;
  }

  /** A pass brought logits to choose from. */
  pass(): void {
    this.#passes++;
  }

  token(): void {
    this.#last = performance.now();
    this.#cpuAtLast = cpuSeconds();
    if (this.#tokens++ > 0) return;
    this.#first = this.#last;
    this.#cpuAtFirst = this.#cpuAtLast;
  }

  stats(seed: number, speculation: SpeculationStats | null): GenerateStats {
    const first = this.#first ?? this.#start;
    const after = this.#last - first;
    const { bytesRead, bytesCached, bytesMapped, readMs } = this.#engine.stats;
    return {
      firstTokenSeconds: (first - this.#start) / 1000,
      tokensPerSecond: this.#tokens > 1 && after > 0 ? ((this.#tokens - 1) * 1000) / after : 0,
      totalSeconds: (performance.now() - this.#start) / 1000,
      cpuSecondsPerToken: this.#tokens > 1 ? (this.#cpuAtLast - this.#cpuAtFirst) / (this.#tokens - 1) : 0,
      bytesRead: bytesRead - this.#before.bytesRead,
      bytesCached: bytesCached - this.#before.bytesCached,
      bytesMapped: bytesMapped - this.#before.bytesMapped,
      readSeconds: (readMs - this.#before.readMs) / 1000,
      passes: this.#passes,
      tokensPerPass: this.#tokens / Math.max(1, this.#passes),
      speculation,
      seed,
    };
  }
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
