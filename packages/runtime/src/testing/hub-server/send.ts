import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { type HubContent, VIEW_BYTES } from './content';
import type { Fault } from './faults';

/** Small enough that connections take turns. */
const LINK_STEP = 2 ** 16;

export interface Sending {
  readonly content: HubContent;
  readonly range: { readonly from: number; readonly to: number } | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly head: boolean;
  readonly gzip: boolean;
  readonly faults: readonly Fault[];
  /** Told of each piece handed to the connection. */
  readonly sent: (bytes: number) => void;
}

/** Sends a file or a range of it, with whatever is to go wrong. */
export async function sendContent(response: ServerResponse, sending: Sending): Promise<void> {
  const { content, faults } = sending;
  const find = <Kind extends Fault['kind']>(kind: Kind) =>
    faults.find((fault): fault is Extract<Fault, { kind: Kind }> => fault.kind === kind);

  const asked = find('no-range') ? null : sending.range;
  const shift = find('wrong-range')?.by ?? 0;
  const range = asked && { from: asked.from + shift, to: asked.to + shift };
  const from = range?.from ?? 0;
  const to = Math.min(range?.to ?? content.size, content.size);
  const gzip = (sending.gzip || find('gzip') !== undefined) && range === null;
  const whole = gzip ? gzipSync(await content.read(0, content.size)) : null;
  const length = (whole?.length ?? to - from) + (find('wrong-length')?.by ?? 0);

  const headers: Record<string, string> = {
    ...sending.headers,
    'accept-ranges': 'bytes',
    'content-length': String(length),
    ...(gzip ? { 'content-encoding': 'gzip' } : {}),
    ...(range ? { 'content-range': `bytes ${from}-${to - 1}/${content.size}` } : {}),
  };
  for (const name of find('drop-headers')?.names ?? []) delete headers[name.toLowerCase()];

  const stop = find('stall') ?? find('cut') ?? find('truncate');
  if (stop?.afterBytes === -1) return stop.kind === 'stall' ? undefined : void response.destroy();
  response.writeHead(range ? 206 : 200, headers);
  if (sending.head) return void response.end();
  response.flushHeaders();

  const flipped = find('corrupt')?.at;
  const rate = find('throttle')?.bytesPerSecond;
  const link = find('link')?.link;
  const end = Math.min(to, stop ? from + stop.afterBytes : to);
  const slowest = Math.min(rate ?? Infinity, link?.bytesPerSecond ?? Infinity);
  const step = Math.max(1, Math.min(link ? LINK_STEP : VIEW_BYTES, Math.ceil(slowest / 20)));
  const hold = find('hold');
  const started = performance.now();
  let at = from;
  while (at < end && !response.destroyed) {
    const isHeld = hold !== undefined && at >= hold.at;
    if (isHeld) await hold.until;
    const next = Math.min(at + step, end, hold && !isHeld ? hold.at : end);
    let piece = whole ? whole.subarray(at, next) : await content.read(at, next);
    if (whole) {
      piece = whole;
    } else if (flipped !== undefined && at <= flipped && flipped < next) {
      piece = Uint8Array.from(piece);
      piece[flipped - at] = (piece[flipped - at] as number) ^ 0xff;
    }
    await link?.take(piece.length);
    if (response.destroyed) return;
    sending.sent(piece.length);
    if (!response.write(piece)) await drained(response);
    at = whole ? end : next;
    if (rate !== undefined) {
      const due = started + ((at - from) / rate) * 1000;
      if (due > performance.now()) await sleep(due - performance.now());
    }
  }
  if (stop?.kind === 'stall') return;
  if (stop?.kind === 'cut') return void response.destroy();
  if (stop?.kind === 'truncate') return void response.socket?.end();
  // A body longer than announced is more than node:http will send; one shorter ends with the connection.
  if (find('wrong-length')) return void response.socket?.end();
  response.end();
}

/** Resolves when more can be written, or nothing any more. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
