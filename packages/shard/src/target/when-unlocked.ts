import { setTimeout as sleep } from 'node:timers/promises';
import { TargetLockedError } from '../errors';
import { TargetLock } from './lock';

/** Milliseconds between two looks at a lock that somebody else has. */
const INTERVAL = 200;

export interface WhenUnlockedOptions {
  readonly signal?: AbortSignal | undefined;
  /** Is told who is waited for, once for each. */
  readonly onWait?: ((holder: TargetLockedError) => void) | undefined;
}

/**
 * Does some work that throws `TargetLockedError` while another run writes into its target: again when that run has ended,
 * or its process has died. A process of another machine cannot be asked whether it lives, and is waited for until its lock
 * file is gone. Rejects with the signal's reason, or what the work throws.
 */
export async function whenUnlocked<T>(work: () => Promise<T>, options: WhenUnlockedOptions = {}): Promise<T> {
  const { signal, onWait } = options;
  for (let told: number | undefined; ; ) {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!TargetLockedError.isInstance(error)) throw error;
      if (error.pid !== told) onWait?.(error);
      told = error.pid;
      while (await TargetLock.isHeld(error.lockFile)) {
        await sleep(INTERVAL, undefined, signal && { signal }).catch(() => {});
        signal?.throwIfAborted();
      }
    }
  }
}
