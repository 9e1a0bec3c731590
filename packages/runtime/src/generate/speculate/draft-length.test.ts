import { expect, test } from 'vitest';
import { DraftLength } from './draft-length';
import { PassTimes } from './pass-times';

const lookup = { name: 'lookup', costly: false, assumedSeconds: 0 } as const;
const model = { name: 'model', costly: true, assumedSeconds: 0.2 } as const;
const room = { trust: 4, room: 15, rows: 1 };

/** Passes whose rows cost so much each, beside a second for any number of them. */
function resident(rowSeconds: number): PassTimes {
  const times = new PassTimes();
  for (const rows of [1, 4, 16]) times.add({ rows, seconds: 1 + rowSeconds * (rows - 1), waitSeconds: 0 });
  return times;
}

test('drafts long where rows are cheap, short where they are not, and not at all where they cost a pass', () => {
  const lengths = [0.001, 0.1, 0.3, 1].map((rowSeconds) => new DraftLength(resident(rowSeconds), lookup).next(room));
  expect(lengths).toEqual([...lengths].sort((a, b) => b - a));
  expect(lengths[0]).toBe(15);
  expect(lengths[2]).toBeGreaterThan(0);
  expect(lengths[3]).toBe(0);
});

test('what a pass takes without a draft is learned first, unless the drive sets the time anyway', () => {
  const times = new PassTimes();
  const length = new DraftLength(times, lookup);
  expect(length.next(room)).toBe(0);
  times.add({ rows: 300, seconds: 5, waitSeconds: 4 });
  expect(length.next(room)).toBe(15);
});

test('falls to nothing when guesses are wrong, per kind of guess', () => {
  const length = new DraftLength(resident(0.1), lookup);
  for (let i = 0; i < 50; i++) length.recordRight(4, 10, 0);
  expect(length.next(room)).toBe(0);
  expect(length.next({ ...room, trust: 6 })).toBeGreaterThan(0);
  for (let i = 0; i < 50; i++) length.recordRight(4, 10, 10);
  expect(length.next(room)).toBe(15);
});

test('a costly drafter that does not pay is asked again now and then, ever more rarely', () => {
  const length = new DraftLength(resident(0.1), model);
  for (let i = 0; i < 50; i++) length.recordRight(0, 10, 0);
  const asked: number[] = [];
  for (let pass = 0; pass < 500; pass++) if (length.next({ ...room, trust: 0 }) > 0) asked.push(pass);
  expect(asked.length).toBeGreaterThan(3);
  expect(asked.length).toBeLessThan(8);
});

test('where many texts share a pass, all of them draft, and what that takes counts', () => {
  const times = new PassTimes();
  // Beyond 40 rows the drive no longer sets the time.
  for (const rows of [1, 8, 40, 80, 160])
    times.add({ rows, seconds: Math.max(1, rows / 40), waitSeconds: rows > 40 ? 0 : 0.2 });
  const length = (rows: number) => new DraftLength(times, lookup).next({ ...room, rows });
  expect(length(1)).toBe(15);
  expect(length(8)).toBeLessThan(8);
  expect(length(8)).toBeGreaterThan(1);
  expect(length(40)).toBe(0);
});

test('a disturbed measurement is found out', () => {
  const times = new PassTimes();
  times.add({ rows: 1, seconds: 1, waitSeconds: 0 });
  times.add({ rows: 6, seconds: 9, waitSeconds: 0 });
  const length = new DraftLength(times, lookup);
  let drafting = 0;
  for (let pass = 0; pass < 60; pass++) {
    const drafted = length.next(room);
    times.add({ rows: 1 + drafted, seconds: 1 + 0.1 * drafted, waitSeconds: 0 });
    if (drafted > 0) drafting++;
  }
  expect(drafting).toBeGreaterThan(40);
});

test('no room, no draft; and what drafting costs counts', () => {
  const length = new DraftLength(resident(0.001), model);
  expect(length.next({ ...room, room: 0 })).toBe(0);
  // What is assumed counts until it is known.
  const assumed = length.next(room);
  expect(assumed).toBeLessThan(6);
  length.recordCost(0.001);
  expect(length.next(room)).toBeGreaterThan(assumed);
  for (let i = 0; i < 5; i++) length.recordCost(0.9);
  expect(length.next(room)).toBe(0);
});

test('where every pass drafts, one without comes by now and then', () => {
  const length = new DraftLength(resident(0.001), lookup);
  const plain = Array.from({ length: 200 }, () => length.next(room)).filter((drafted) => drafted === 0);
  expect(plain.length).toBeGreaterThan(1);
  expect(plain.length).toBeLessThan(5);
});
