import { FormatError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { PICKLE_BOMBS } from '../../testing/pickle-bombs';
import { PickleEnd } from './pickle-fault';
import { TorchHost } from './torch-host';
import { MAX_PICKLE_BYTES, unpickle } from './unpickle';

describe('what claims little and makes much ends within bounds', () => {
  test.each(PICKLE_BOMBS)('%s', (_, make) => {
    const bytes = make(MAX_PICKLE_BYTES / 8);
    expect(bytes.length).toBeGreaterThan(MAX_PICKLE_BYTES / 16);
    const before = process.cpuUsage();
    let error: unknown;
    try {
      unpickle({ file: 'f', bytes, fileOffset: 0 }, 0, new TorchHost('f'));
    } catch (reason) {
      error = reason;
    }
    // Processor time, since other programs make the clock tell little; under 0.3 s on a slow core.
    const { user, system } = process.cpuUsage(before);
    expect(FormatError.isInstance(error) || error instanceof PickleEnd, `${error}`).toBe(true);
    expect((user + system) / 1e6).toBeLessThan(5);
  });
});
