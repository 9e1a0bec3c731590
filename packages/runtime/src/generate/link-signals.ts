import { onAbort } from '../on-abort';

/** A signal that is aborted with the first of others, for the reason of that one, until it is unlinked from them. */
export interface LinkedSignal {
  readonly signal: AbortSignal;
  readonly unlink: () => void;
}

/** As `AbortSignal.any`, which Node 20.0 lacks; signals that outlive many calls do not keep what they were linked to. */
export function linkSignals(signals: readonly (AbortSignal | undefined)[]): LinkedSignal {
  const controller = new AbortController();
  const links = signals.map((signal) => onAbort(signal, () => controller.abort(signal!.reason)));
  return {
    signal: controller.signal,
    unlink: () => {
      for (const remove of links) remove();
    },
  };
}
