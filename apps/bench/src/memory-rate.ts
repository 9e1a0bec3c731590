import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type ForeignFunction, HostBuffer, loadLibrary } from '@airllm/loader';
import { count } from './arguments';

export const usage = 'bench memory-rate [--threads N] [--rounds 5]';

/** What one process that only reads memory measured. */
export interface MemoryRateFigures {
  readonly bytesPerSecond: number;
}

/** Far larger than any cache. */
const LANE_BYTES = 512 * 2 ** 20;

/**
 * GB/s at which all threads together read memory: what decoding with resident weights cannot exceed. The loop is the C
 * library's `memchr` for a byte that is not there: it reads everything, writes nothing, and is written in SIMD.
 */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { threads: { type: 'string' }, rounds: { type: 'string', default: '5' } },
  });
  const threads = values.threads === undefined ? availableParallelism() : count(values.threads, 'threads');
  const libc = loadLibrary(process.platform === 'win32' ? 'msvcrt.dll' : null);
  const memchr: ForeignFunction<[bigint, number, number], number | bigint> = libc.function('memchr', 'uintptr_t', [
    'uintptr_t',
    'int',
    'size_t',
  ]);
  const lanes = Array.from({ length: threads }, () => HostBuffer.allocate(LANE_BYTES));
  // Pages never written to are all one page of zeros, which the cache holds.
  for (const lane of lanes) lane.bytes().fill(1);
  let best = 0;
  for (let round = 0; round < count(values.rounds, 'rounds'); round++) {
    const start = performance.now();
    const found = await Promise.all(lanes.map((lane) => memchr.async(lane.address, 0, LANE_BYTES)));
    const seconds = (performance.now() - start) / 1000;
    if (found.some((address) => Number(address) !== 0)) throw new Error('memchr found a byte that was never written');
    best = Math.max(best, (threads * LANE_BYTES) / seconds);
  }
  for (const lane of lanes) lane.dispose();
  const figures: MemoryRateFigures = { bytesPerSecond: best };
  console.log(JSON.stringify(figures));
}
