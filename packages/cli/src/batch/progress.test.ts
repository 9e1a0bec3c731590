import type { BatchProgress } from '@airllm/runtime';
import { expect, test } from 'vitest';
import { Terminal } from '../output/terminal';
import { FakeIo } from '../testing/fake-io';
import { BatchMeter, progressLine } from './progress';

const progress: BatchProgress = {
  answered: 30,
  failed: 2,
  skipped: 10,
  active: 4,
  bytesDone: 400,
  bytesSkipped: 100,
  promptTokens: 900,
  newTokens: 600,
  seconds: 60,
};

test('the rest is reckoned from what this run did, not from what it was spared', () => {
  // 300 bytes took a minute; 600 are left.
  expect(progressLine(progress, 1000)).toBe(
    '40 % · 30 answered, 2 of them with errors · 4 running · 30.0 a minute · 10.0 tokens/s · 2 min 0 s left',
  );
  expect(progressLine({ ...progress, failed: 0 }, undefined)).toBe(
    '30 answered · 4 running · 30.0 a minute · 10.0 tokens/s',
  );
  const fresh = { ...progress, answered: 0, failed: 0, bytesDone: 0, bytesSkipped: 0, newTokens: 0, seconds: 0 };
  expect(progressLine(fresh, 1000)).toBe('0 % · 0 answered · 4 running');
});

test('a terminal gets one line that is redrawn, others a line now and then', () => {
  const shown = (terminal: boolean) => {
    const io = new FakeIo({ terminal });
    const meter = new BatchMeter(new Terminal(io, new AbortController()), 1000);
    for (const now of [0, 50, 200, 31_000]) meter.show({ ...progress, bytesDone: 400 + now / 100 }, now);
    meter.clear();
    return io.stderr.text;
  };
  const lines = shown(true).split('\r');
  expect(lines).toHaveLength(5);
  expect(lines[1]).toMatch(/^40 % /);
  for (const line of lines.slice(1)) expect(line.endsWith('\u001b[K')).toBe(true);
  expect(shown(false).split('\n')).toHaveLength(3);
  expect(shown(false)).not.toContain('\u001b');
});
