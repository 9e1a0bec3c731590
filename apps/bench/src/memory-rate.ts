import { availableParallelism } from 'node:os';
import { type ForeignFunction, HostBuffer, loadLibrary } from '@airllm/loader';
import { count, readOptions } from './arguments';

export const usage = 'bench memory-rate [--threads N] [--rounds 15]';

/** What one process that only reads memory measured. */
export interface MemoryRateFigures {
  readonly bytesPerSecond: number;
}

/** Far larger than any cache. */
const LANE_BYTES = 512 * 2 ** 20;

/**
 * Bytes per second at which all threads together read memory: what decoding with resident weights cannot exceed. The
 * loops are the C library's, written in SIMD, that read everything and write nothing: `memchr` for a byte that is not
 * there runs through memory once, `memcmp` of two equal halves in two places at once, which some machines read faster.
 */
export async function run(args: string[]): Promise<void> {
  const values = readOptions(args, {
    threads: undefined,
    rounds: '15',
  });
  const threads = values.threads === undefined ? availableParallelism() : count(values.threads, 'threads');
  const libc = loadLibrary(process.platform === 'win32' ? 'msvcrt.dll' : null);
  const memchr: ForeignFunction<[bigint, number, number], number | bigint> = libc.function('memchr', 'uintptr_t', [
    'uintptr_t',
    'int',
    'size_t',
  ]);
  const memcmp: ForeignFunction<[bigint, bigint, number], number> = libc.function('memcmp', 'int', [
    'uintptr_t',
    'uintptr_t',
    'size_t',
  ]);
  const half = LANE_BYTES / 2;
  const loops = [
    (lane: HostBuffer) => memchr.async(lane.address, 0, LANE_BYTES),
    (lane: HostBuffer) => memcmp.async(lane.address, lane.address + BigInt(half), half),
  ];
  const lanes = Array.from({ length: threads }, () => HostBuffer.allocate(LANE_BYTES));
  // Pages never written to are all one page of zeros, which the cache holds.
  for (const lane of lanes) lane.bytes().fill(1);
  let best = 0;
  for (let round = 0; round < count(values.rounds, 'rounds'); round++) {
    for (const read of loops) {
      const start = performance.now();
      const found = await Promise.all(lanes.map(read));
      const seconds = (performance.now() - start) / 1000;
      if (found.some((result) => Number(result) !== 0)) throw new Error('memory holds what was never written');
      best = Math.max(best, (threads * LANE_BYTES) / seconds);
    }
  }
  for (const lane of lanes) lane.dispose();
  const figures: MemoryRateFigures = { bytesPerSecond: best };
  console.log(JSON.stringify(figures));
}
