import { EventEmitter, getMaxListeners, setMaxListeners } from 'node:events';

/** Lets any number of others listen to a signal, where nobody has said how many may. */
export function allowMany(signal: AbortSignal | undefined): void {
  if (signal === undefined || getMaxListeners(signal) !== EventEmitter.defaultMaxListeners) return;
  setMaxListeners(Number.POSITIVE_INFINITY, signal);
}

/**
 * Calls back when a signal is aborted, at once if it was; returns how to stop listening. Any number of calls may share a
 * signal: Node would otherwise warn of a leak at the eleventh.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) callback();
  allowMany(signal);
  signal.addEventListener('abort', callback, { once: true });
  return () => signal.removeEventListener('abort', callback);
}
