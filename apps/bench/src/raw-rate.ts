import type { CgroupLimits } from './cgroup';
import { type OwnRun, runOwn } from './own-process';

/** Bytes per second of raw direct reads of a checkpoint's files: the best of the queue depths a drive may like. */
export async function rawRate(dir: string, read: CgroupLimits['read'], bytes: number): Promise<number> {
  let best = 0;
  for (const depth of ['1', '4', '16']) {
    const args = ['raw-read', dir, '--depth', depth, '--gb', String(bytes / 1e9)];
    const { figures }: OwnRun<{ bytesPerSecond: number }> = await runOwn({ read }, args);
    best = Math.max(best, figures.bytesPerSecond);
  }
  return best;
}
