import { expect, test } from 'vitest';
import { FakeIo } from '../testing/fake-io';
import { ProgressBar } from './progress-bar';
import { Terminal } from './terminal';

/** Clears to the end of the line. */
const CLEAR = '\u001b[K';

const at = (bytesDone: number) => ({
  phase: 'work' as const,
  bytesDone,
  bytesTotal: 1000,
  bytesPerSecond: 100,
  etaSeconds: (1000 - bytesDone) / 100,
});

async function shown(io: FakeIo, steps: readonly number[]): Promise<string> {
  const bar = new ProgressBar(new Terminal(io, new AbortController()), { work: 'working' });
  await bar.during(async (onProgress) => {
    for (const done of steps) onProgress(at(done));
  });
  return io.stderr.text;
}

test('a terminal gets one line that is redrawn and cleared', async () => {
  const text = await shown(new FakeIo({ terminal: true }), [0, 505, 1000]);
  expect(text.replaceAll(CLEAR, '<').split('\r').slice(1)).toEqual([
    expect.stringMatching(/^░+ working {3}0 % 0 bytes of 1\.00 kB, 100 bytes\/s, 10 s left<$/),
    expect.stringMatching(/^█+░+ working {2}50 % 505 bytes of 1\.00 kB, 100 bytes\/s, 5\.0 s left<$/),
    expect.stringMatching(/^█+ working 100 % 1\.00 kB of 1\.00 kB, 100 bytes\/s<$/),
    '<',
  ]);
  expect(text).not.toContain('\n');
  for (const line of text.split('\r')) expect(line.replace(CLEAR, '').length).toBeLessThanOrEqual(80);
});

test('anything else gets a line for every tenth at most', async () => {
  const text = await shown(new FakeIo(), [0, 10, 20, 100, 101, 505, 990, 1000]);
  expect(text.match(/\d+(?= %)/g)).toEqual(['0', '10', '50', '99', '100']);
  expect(text).not.toContain('\r');
  expect(text).not.toContain('\u001b');
});

test('the bar is cleared when the work fails', async () => {
  const io = new FakeIo({ terminal: true });
  const bar = new ProgressBar(new Terminal(io, new AbortController()), { work: 'working' });
  const failing = bar.during(async (onProgress) => {
    onProgress(at(1));
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  expect(io.stderr.text.replaceAll(CLEAR, '<')).toMatch(/\r<$/);
});
