/** A signal that is aborted with the first of others, for the reason of that one, until it is unlinked from them. */
export interface LinkedSignal {
  readonly signal: AbortSignal;
  readonly unlink: () => void;
}

/** As `AbortSignal.any`, which Node 20.0 lacks; signals that outlive many calls do not keep what they were linked to. */
export function linkSignals(signals: readonly (AbortSignal | undefined)[]): LinkedSignal {
  const controller = new AbortController();
  const links = signals.flatMap((signal) => {
    if (signal === undefined) return [];
    const abort = () => controller.abort(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    return [() => signal.removeEventListener('abort', abort)];
  });
  return {
    signal: controller.signal,
    unlink: () => {
      for (const remove of links) remove();
    },
  };
}
