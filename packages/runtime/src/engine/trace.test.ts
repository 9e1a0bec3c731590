import { expect, test } from 'vitest';
import { chromeTrace, type Span } from './trace';

test('spans become complete events in microseconds from the first one, overlapping reads in lanes of their own', () => {
  const spans: Span[] = [
    { track: 'read', name: 'a', start: 10, end: 14, bytes: 4096 },
    { track: 'read', name: 'b', start: 12, end: 15, bytes: 4096 },
    { track: 'read', name: 'c', start: 14.5, end: 16, bytes: 4096 },
    { track: 'pass', name: 'pass', start: 9, end: 20, rows: 3 },
  ];
  const events = chromeTrace(spans).traceEvents as {
    ph: string;
    tid: number;
    name: string;
    ts: number;
    dur: number;
    args: object;
  }[];
  const complete = events.filter(({ ph }) => ph === 'X');
  expect(complete.map(({ name, ts, dur }) => [name, ts, dur])).toEqual([
    ['pass', 0, 11_000],
    ['a', 1000, 4000],
    ['b', 3000, 3000],
    ['c', 5500, 1500],
  ]);
  const lane = Object.fromEntries(complete.map(({ name, tid }) => [name, tid]));
  expect(lane.a).not.toBe(lane.b);
  expect(lane.c).toBe(lane.a);
  expect(complete[0]!.args).toEqual({ rows: 3 });
  expect(events.filter(({ ph }) => ph === 'M').map(({ args }) => args)).toContainEqual({ name: 'read' });
});

test('no spans make an empty trace', () => {
  expect(chromeTrace([])).toEqual({ traceEvents: [] });
});
