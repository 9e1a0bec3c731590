import { EventEmitter, getMaxListeners, setMaxListeners } from 'node:events';

/**
 * Calls back when a signal is aborted, at once if it was; returns how to stop listening. Any number of calls may share a
 * signal: Node would otherwise warn of a leak at the eleventh.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => {};
  if (signal.aborted) callback();
  if (getMaxListeners(signal) === EventEmitter.defaultMaxListeners) setMaxListeners(Number.POSITIVE_INFINITY, signal);
  signal.addEventListener('abort', callback, { once: true });
  return () => signal.removeEventListener('abort', callback);
}
