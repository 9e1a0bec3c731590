import { expect, test } from 'vitest';
import type { PassShape } from '../plan/wide-pass';
import { PassCosts } from './pass-costs';
import { rowLimit } from './row-limit';

/** An engine whose plan has room for 64 rows, and that can make passes as wide as it is told. */
function engine(streamedBytes: number, widest = 64) {
  const shape = (count: number): PassShape => ({ rows: Math.min(Math.max(64, count), widest), lent: 0 });
  return { plan: { maxRows: 64, streamedBytes }, passShape: shape } as unknown as Parameters<typeof rowLimit>[0];
}

function costs(secondsPerRow: number, drive: number): PassCosts {
  const measured = new PassCosts();
  for (const rows of [8, 64]) {
    const computeSeconds = secondsPerRow * rows;
    const seconds = Math.max(computeSeconds, drive);
    measured.record({ rows, seconds, waitSeconds: seconds - computeSeconds, computeSeconds, bytesRead: drive });
  }
  return measured;
}

test('the plan’s rows where nothing streams, or nothing was measured', () => {
  expect(rowLimit(engine(0), costs(0.001, 1))).toMatchObject({ rows: 64, chosen: 'planned' });
  const unknown = { rows: 64, chosen: 'planned', driveSeconds: null, computeSeconds: null };
  expect(rowLimit(engine(1e9), new PassCosts())).toEqual(unknown);
});

test('what is computed while the drive reads, not wider than a pass can be, nor too narrow to get on', () => {
  const limit = rowLimit(engine(1e9), costs(0.02, 1));
  expect(limit).toMatchObject({ rows: 50, chosen: 'balanced' });
  expect(limit.driveSeconds).toBeCloseTo(1);
  expect(rowLimit(engine(1e9), costs(0.001, 0.3)).rows).toBe(64);
  expect(rowLimit(engine(1e9, 200), costs(0.001, 0.3)).rows).toBe(200);
  expect(rowLimit(engine(1e9), costs(10, 100)).rows).toBe(32);
});
