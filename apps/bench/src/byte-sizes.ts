import { parseByteSize } from '@airllm/runtime';
import type { CgroupLimits } from './cgroup';

/** Sizes such as `600MB,4GiB`. Throws `OptionError`. */
export function sizes(value: string, option: string): number[] {
  return value.split(',').map((part) => parseByteSize(part, `--${option}`));
}

/** The drive's cap that `--read-bps` asks for, on the drive of a folder; undefined where it does not. */
export function readCap(rate: string | undefined, path: string): CgroupLimits['read'] {
  return rate === undefined ? undefined : { bytesPerSecond: parseByteSize(rate, '--read-bps'), path };
}
