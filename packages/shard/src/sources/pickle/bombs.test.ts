import { FormatError } from '@airllm/loader';
import { describe, expect, test } from 'vitest';
import { cpuSeconds } from '../../../../../.ci/cpu-seconds';
import { PICKLE_BOMBS } from '../../testing/pickle-bombs';
import { PickleEnd } from './pickle-fault';
import { TorchHost } from './torch-host';
import { MAX_PICKLE_BYTES, unpickle } from './unpickle';

describe('what claims little and makes much ends within bounds', () => {
  test.each(PICKLE_BOMBS)('%s', async (_, make) => {
    const bytes = make(MAX_PICKLE_BYTES / 8);
    expect(bytes.length).toBeGreaterThan(MAX_PICKLE_BYTES / 16);
    const { result: error, seconds } = await cpuSeconds(() => {
      try {
        return unpickle({ file: 'f', bytes, fileOffset: 0 }, 0, new TorchHost('f'));
      } catch (reason) {
        return reason;
      }
    });
    expect(FormatError.isInstance(error) || error instanceof PickleEnd, `${error}`).toBe(true);
    // Under 0.3 on a slow core.
    expect(seconds).toBeLessThan(10);
  });
});
