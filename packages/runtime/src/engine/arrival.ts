/** Weights that are on their way to the drive while they are computed with; reads of what is not there yet wait. */
export interface Arrival {
  /**
   * Resolves once every file is there and has been verified, rejects if one is not what it should be: what was computed
   * before counts only then. Rejects with the signal's reason.
   */
  settled(signal?: AbortSignal): Promise<void>;
  /** Rejects the reads that wait at this moment; whoever still wants the bytes asks again. */
  giveUp(reason: unknown): void;
  /** Rejects the reads that wait and all that will, and `settled`. Idempotent. */
  end(reason: unknown): void;
}

/** Lets a signal end the waits of the pass it belongs to. Returns what takes that back. */
export function giveUpOn(signal: AbortSignal | undefined, arrival: Arrival | undefined): () => void {
  if (signal === undefined || arrival === undefined) return () => {};
  const giveUp = () => arrival.giveUp(signal.reason);
  signal.addEventListener('abort', giveUp, { once: true });
  return () => signal.removeEventListener('abort', giveUp);
}
