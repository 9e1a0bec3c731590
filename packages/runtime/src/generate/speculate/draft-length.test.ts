import { expect, test } from 'vitest';
import { PassCosts } from '../pass-costs';
import { DraftLength } from './draft-length';

const lookup = { name: 'lookup', costly: false, assumedSeconds: 0 } as const;
const model = { name: 'model', costly: true, assumedSeconds: 0.2 } as const;
const room = { trust: 4, room: 15, rows: 1 };

const computed = (rows: number, seconds: number) => ({
  rows,
  seconds,
  waitSeconds: 0,
  computeSeconds: seconds,
  bytesRead: 0,
});

/** Passes whose rows cost so much each, beside a second for any number of them. */
function resident(rowSeconds: number): PassCosts {
  const costs = new PassCosts();
  for (const rows of [1, 4, 16]) costs.record(computed(rows, 1 + rowSeconds * (rows - 1)));
  return costs;
}

test('drafts long where rows are cheap, short where they are not, and not at all where they cost a pass', () => {
  const lengths = [0.001, 0.1, 0.3, 1].map((rowSeconds) => new DraftLength(resident(rowSeconds), lookup).next(room));
  expect(lengths).toEqual([...lengths].sort((a, b) => b - a));
  expect(lengths[0]).toBe(15);
  expect(lengths[2]).toBeGreaterThan(0);
  expect(lengths[3]).toBe(0);
});

test('what a pass takes without a draft is learned first, unless the drive sets the time anyway', () => {
  const costs = new PassCosts();
  const length = new DraftLength(costs, lookup);
  expect(length.next(room)).toBe(0);
  costs.record({ rows: 300, seconds: 5, waitSeconds: 4, computeSeconds: 1, bytesRead: 5e9 });
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
  const costs = new PassCosts();
  // Beyond 40 rows the drive no longer sets the time.
  for (const rows of [1, 8, 40, 80, 160]) {
    const computeSeconds = rows / 40;
    const seconds = Math.max(1, computeSeconds);
    costs.record({ rows, seconds, waitSeconds: seconds - computeSeconds, computeSeconds, bytesRead: 1e9 });
  }
  const length = (rows: number) => new DraftLength(costs, lookup).next({ ...room, rows });
  expect(length(1)).toBe(15);
  expect(length(8)).toBeLessThan(8);
  expect(length(8)).toBeGreaterThan(1);
  expect(length(40)).toBe(0);
});

test('a disturbed measurement is found out', () => {
  const costs = new PassCosts();
  costs.record(computed(1, 1));
  costs.record(computed(6, 9));
  const length = new DraftLength(costs, lookup);
  let drafting = 0;
  for (let pass = 0; pass < 60; pass++) {
    const drafted = length.next(room);
    costs.record(computed(1 + drafted, 1 + 0.1 * drafted));
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

test('where every pass drafts, one without comes by now and then, and soon at first', () => {
  const length = new DraftLength(resident(0.001), lookup);
  const drafted = Array.from({ length: 260 }, () => length.next(room));
  const plain = drafted.flatMap((count, pass) => (count === 0 ? [pass] : []));
  expect(plain).toEqual([4, 13, 30, 63, 128, 193, 258]);
});
