import { setTimeout as sleep } from 'node:timers/promises';
import type { RetryDelay } from '../../delay';
import { HubUnavailableError, RateLimitError, shownUrl } from '../errors';
import type { HubSettings } from '../settings';
import { isNetworkError, networkReason } from './connection-error';

/** Something that may go well the next time: thrown inside an attempt, never seen outside. */
export class Passing extends Error {
  constructor(
    readonly facts: {
      readonly url: string;
      readonly reason: string;
      readonly status?: number | undefined;
      readonly retryAfterMs?: number | undefined;
      readonly cause?: unknown;
    },
  ) {
    super(facts.reason, { cause: facts.cause });
  }
}

export interface PatienceContext {
  readonly token: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Told before each pause. */
  readonly onRetry?: ((facts: Omit<RetryDelay, 'type' | 'file'>) => void) | undefined;
}

/** What every part of a program waits by: attempts since the last progress. */
export class Patience {
  #failures = 0;

  constructor(
    private readonly retry: HubSettings['retry'],
    private readonly context: PatienceContext,
  ) {}

  /** New bytes came: the count starts again. */
  progressed(): void {
    this.#failures = 0;
  }

  /**
   * Waits before the next attempt: base × 2ⁿ with full jitter in its upper half, or what the server asks for.
   * Throws the error that ends it all when there was one attempt too many, or when it cannot pass.
   */
  async failed(error: unknown, url: string): Promise<void> {
    this.context.signal?.throwIfAborted();
    if (!(error instanceof Passing) && !isNetworkError(error)) throw error;
    const passing = error instanceof Passing ? error.facts : { url, reason: networkReason(error), cause: error };
    const { status, retryAfterMs } = { status: undefined, retryAfterMs: undefined, ...passing };
    this.#failures++;
    const { attempts, baseMs, maxMs } = this.retry;
    const tooLong = retryAfterMs !== undefined && retryAfterMs > maxMs;
    if (this.#failures >= attempts || tooLong) {
      const shown = shownUrl(passing.url);
      if (status === 429) {
        throw new RateLimitError({ url: shown, status, retryAfterMs, token: this.context.token });
      }
      throw new HubUnavailableError({
        url: shown,
        reason: passing.reason,
        attempts: this.#failures,
        status,
        cause: passing.cause,
      });
    }
    const backoff = Math.min(maxMs, baseMs * 2 ** (this.#failures - 1));
    const pause = retryAfterMs ?? backoff * (0.5 + Math.random() / 2);
    const { reason } = passing;
    this.context.onRetry?.({ host: hostOf(passing.url), reason, attempt: this.#failures, waitMs: pause });
    await sleep(pause, undefined, this.context.signal ? { signal: this.context.signal } : {}).catch(() => {});
    this.context.signal?.throwIfAborted();
  }
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : shownUrl(url);
}

/** Retry-After in milliseconds: seconds, or a date. */
export function retryAfterMs(header: string | undefined, now: number = Date.now()): number | undefined {
  if (header === undefined || header.trim() === '') return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
