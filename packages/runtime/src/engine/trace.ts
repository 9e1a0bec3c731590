/**
 * What a span of time was spent on: the drive, weights found in the page cache and not read for now, waiting for either,
 * computing, or a whole pass.
 */
export type Track = 'read' | 'map' | 'wait' | 'compute' | 'pass';

/** A span of time, in milliseconds of `performance.now()`. */
export interface Span {
  readonly track: Track;
  /** E.g. `layer 3 ops 0–4`. */
  readonly name: string;
  readonly start: number;
  readonly end: number;
  /** Bytes of weights it was about, or rows of a pass. */
  readonly bytes?: number;
  readonly rows?: number;
}

/** Is told what took how long, as it ends. Must be quick: it is called between segments. */
export type Observer = (span: Span) => void;

const TRACKS: readonly Track[] = ['pass', 'compute', 'wait', 'map', 'read'];

/**
 * Spans in Chrome's trace event format, which Perfetto and chrome://tracing open. Reads (and finds) overlap, so each takes
 * the first lane that is free.
 */
export function chromeTrace(spans: readonly Span[]): { readonly traceEvents: readonly object[] } {
  const origin = spans.reduce((least, { start }) => Math.min(least, start), Number.POSITIVE_INFINITY);
  const lanes = new Map<number, number>();
  const events = [...spans]
    .sort((a, b) => a.start - b.start)
    .map(({ track, name, start, end, bytes, rows }) => {
      const first = (TRACKS.indexOf(track) + 1) * 100;
      let tid = first;
      while ((track === 'read' || track === 'map') && (lanes.get(tid) ?? 0) > start) tid++;
      lanes.set(tid, end);
      return {
        ph: 'X',
        pid: 1,
        tid,
        name,
        cat: track,
        ts: (start - origin) * 1000,
        dur: (end - start) * 1000,
        args: { ...(bytes === undefined ? {} : { bytes }), ...(rows === undefined ? {} : { rows }) },
      };
    });
  const names = [...lanes.keys()].map((tid) => ({
    ph: 'M',
    pid: 1,
    tid,
    name: 'thread_name',
    args: { name: TRACKS[Math.floor(tid / 100) - 1]! },
  }));
  return { traceEvents: [...names, ...events] };
}
