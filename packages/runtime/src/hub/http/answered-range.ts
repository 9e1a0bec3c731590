import { shownUrl } from '../errors';
import type { ByteRange } from '../range-set';
import { Passing } from './retry';
import type { HubResponse } from './transport';

export interface AnsweredRange {
  readonly from: number;
  /** Bytes of the file, if that is said. */
  readonly total: number | undefined;
  readonly whole: boolean;
}

/** Which part of the file an answer holds: the range asked for, or the whole file (`whole`). */
export function answeredRange({ status, headers, url, body }: HubResponse, asked: ByteRange): AnsweredRange {
  const refuse = (reason: string) => {
    body.destroy();
    return new Passing({ url: shownUrl(url), reason });
  };
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') throw refuse('a range came in compressed form');
  const { 'content-length': length } = headers;
  if (status === 200) return { from: 0, total: length === undefined ? undefined : Number(length), whole: true };
  const [, from, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? [];
  if (status !== 206 || from === undefined) throw refuse(`a range was asked for, and ${status} came without one`);
  if (Number(from) !== asked.from || Number(last) >= asked.to) {
    throw refuse(`bytes ${asked.from}-${asked.to - 1} were asked for, ${from}-${last} came`);
  }
  if (length !== undefined && Number(length) !== Number(last) - Number(from) + 1) {
    throw refuse(`a range of ${Number(last) - Number(from) + 1} bytes came with a length of ${length}`);
  }
  return { from: asked.from, total: total === '*' ? undefined : Number(total), whole: false };
}
