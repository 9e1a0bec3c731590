import { OptionError } from '@airllm/loader';

/**
 * Watches a growing text for stop strings. `push` returns the text that is certainly before any of them; what could be
 * the beginning of one is held back until it is decided. Once one is found, `matched` names it and nothing more comes.
 */
export class StopStrings {
  /** The stop string that ended the text: the one that begins first, of those the longest. */
  matched: string | null = null;
  private held = '';
  private readonly stops: readonly string[];

  /** @throws OptionError for an empty stop string. */
  constructor(stops: readonly string[]) {
    if (stops.includes('')) throw new OptionError({ option: 'stop', expected: 'non-empty strings', found: '' });
    // Longest first, so that of two that begin at one place the longer wins.
    this.stops = [...new Set(stops)].sort((a, b) => b.length - a.length);
  }

  /** Text that may be shown now. */
  push(text: string): string {
    if (this.matched !== null) return '';
    const all = this.held + text;
    const found = this.find(all);
    if (found !== undefined) {
      this.matched = found.stop;
      this.held = '';
      return all.slice(0, found.at);
    }
    const kept = this.undecided(all);
    this.held = all.slice(all.length - kept);
    return all.slice(0, all.length - kept);
  }

  /** Text held back, at the end: no stop string followed. */
  flush(): string {
    const rest = this.held;
    this.held = '';
    return rest;
  }

  private find(text: string): { at: number; stop: string } | undefined {
    let best: { at: number; stop: string } | undefined;
    for (const stop of this.stops) {
      const at = text.indexOf(stop);
      if (at >= 0 && (best === undefined || at < best.at)) best = { at, stop };
    }
    return best;
  }

  /** Length of the longest end of the text that a stop string begins with. */
  private undecided(text: string): number {
    let kept = 0;
    for (const stop of this.stops) {
      for (let n = Math.min(stop.length - 1, text.length); n > kept; n--) {
        if (text.endsWith(stop.slice(0, n))) {
          kept = n;
          break;
        }
      }
    }
    return kept;
  }
}
