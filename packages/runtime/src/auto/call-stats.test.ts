import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openReader } from '@airllm/loader';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../testing/temporary';
import { WEIGHTY_PROMPT, writeWeightyModel } from '../testing/weighty-model';
import { AutoModel } from './auto-model';

const IO = '/proc/self/io';
/** Of a page fault, on drives that read ahead a lot. */
const MOST_READ_AHEAD = 4 * 2 ** 20;

/** Bytes this process has had drives read, as the system counts them when they are asked for. */
function driveBytes(): number {
  return Number(/^read_bytes: (\d+)$/m.exec(readFileSync(IO, 'utf8'))![1]);
}

test.skipIf(!existsSync(IO))(
  'a call tells what the drive brought, how long, and in how many passes',
  async (context) => {
    const dir = temporaryFolder();
    await writeWeightyModel(dir, 'F32');
    const reader = await openReader();
    const kind = await reader.kindOf(join(dir, 'model.safetensors'));
    await reader.close();
    if (kind !== 'direct') return context.skip('reads from the page cache are none of a drive');
    // Little more than the smallest ring, so that every pass reads most of the model.
    const options = { reader: 'direct', weightsMemory: 700_000, speculate: 'off' } as const;
    await using model = await AutoModel.fromPretrained(dir, options);
    const { plan } = model.info;
    const newTokens = 12;
    const request = { ids: WEIGHTY_PROMPT, maxNewTokens: newTokens, ignoreEos: true, doSample: false };
    await model.generate(request);
    const before = driveBytes();
    const faultsBefore = process.resourceUsage().majorPageFault;
    const start = performance.now();
    const { stats, usage, ids } = await model.generate(request);
    const seconds = (performance.now() - start) / 1000;
    const read = driveBytes() - before;
    if (read === 0) return context.skip('the system does not count what this drive brings');
    expect(plan.streamedBytes).toBeGreaterThan(plan.bytes.weights / 2);
    // What is asked for ahead is counted by the system at once, and here when it has come.
    const ahead = plan.bytes.ring + 64 * 1024;
    // Where memory is short the drive brings code anew, too.
    const faulted = (process.resourceUsage().majorPageFault - faultsBefore) * MOST_READ_AHEAD;
    const brought = stats.bytesRead - stats.bytesCached;
    expect(brought - read).toBeLessThanOrEqual(ahead);
    expect(read - brought).toBeLessThanOrEqual(ahead + faulted);
    expect(stats.bytesRead).toBeGreaterThanOrEqual(stats.passes * plan.streamedBytes - ahead);
    expect(stats.readSeconds).toBeGreaterThan(0);
    expect(stats.readSeconds).toBeLessThanOrEqual(seconds);
    expect(usage).toEqual({ promptTokens: WEIGHTY_PROMPT.length, newTokens: ids.length });
    expect(ids).toHaveLength(newTokens);
    expect(stats.passes * stats.tokensPerPass).toBeCloseTo(newTokens);
    expect(stats.passes).toBe(newTokens);
    expect(stats.firstTokenSeconds).toBeLessThanOrEqual(stats.totalSeconds);
    expect(stats.totalSeconds).toBeLessThanOrEqual(seconds);
    const after = (newTokens - 1) / stats.tokensPerSecond;
    expect(stats.firstTokenSeconds + after).toBeLessThanOrEqual(stats.totalSeconds + 1e-6);
  },
);
