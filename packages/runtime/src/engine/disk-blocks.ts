import { BLOCK_POSITIONS } from '@airllm/kernels';
import type { HostBuffer, ScratchFile } from '@airllm/loader';
import { StateDamagedError } from '../state-errors';
import type { DiskState, Slot } from './disk-state';

/** Blocks of a state, one after the other in memory. */
export interface BlockRange {
  readonly from: number;
  readonly to: number;
  readonly buffer: HostBuffer;
  /** Of block `from` in the buffer. */
  readonly at: number;
}

/** Brings blocks. Throws `StateDamagedError`, `ReadError`, and what went wrong when they were written. */
export async function readBlocks(file: ScratchFile, state: DiskState, range: BlockRange): Promise<void> {
  const { slots, slotBytes, layer } = state;
  const reads = runsOf(slots, range, slotBytes).map(async ({ index, run }) => {
    const found = await file.read(run, range.buffer, slotBytes);
    const damaged = found.findIndex((checksum, i) => slots[index + i]!.checksum !== checksum);
    if (damaged < 0) return;
    throw new StateDamagedError({ file: file.path, layer, position: (index + damaged) * BLOCK_POSITIONS });
  });
  await settled(reads);
}

/** Takes blocks to places of their own. Throws `WriteError`; the state is then of no use until it is run anew. */
export async function writeBlocks(file: ScratchFile, state: DiskState, range: BlockRange): Promise<void> {
  for (let index = range.from; index < range.to; index++) state.slotFor(index);
  const { slots, slotBytes } = state;
  const writes = runsOf(slots, range, slotBytes).map(async ({ index, run }) => {
    try {
      const checksums = await file.write(run, range.buffer, slotBytes);
      for (const [i, checksum] of checksums.entries()) slots[index + i]!.checksum = checksum;
    } catch (error) {
      state.fail(error as Error);
      throw error;
    }
  });
  await settled(writes);
}

/** Waits for all, and then throws what the first of them that failed did. */
export async function settled(work: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason;
}

/** Blocks that lie one after the other in the file too. */
function runsOf(slots: readonly Slot[], { from, to, at }: BlockRange, slotBytes: number) {
  const runs: { index: number; count: number; offset: number }[] = [];
  for (let index = from; index < to; index++) {
    const last = runs.at(-1);
    const { offset } = slots[index]!;
    if (last !== undefined && last.offset + last.count * slotBytes === offset) last.count++;
    else runs.push({ index, count: 1, offset });
  }
  return runs.map(({ index, count, offset }) => ({
    index,
    run: { offset, length: count * slotBytes, at: at + (index - from) * slotBytes },
  }));
}
