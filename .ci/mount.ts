// Small drives, for tests of full ones.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let found: boolean | undefined;

/** Whether this process may mount drives: on Linux root may, but not in most containers. */
export function canMount(): boolean {
  found ??= process.platform === 'linux' && process.getuid?.() === 0 && tryMount();
  return found;
}

function tryMount(): boolean {
  const dir = mkdtempSync(join(tmpdir(), 'airllm-mount-'));
  const options = { stdio: 'ignore' } as const;
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'airllm-test', dir], options);
    execFileSync('umount', [dir], options);
    return true;
  } catch {
    return false;
  } finally {
    rmdirSync(dir);
  }
}
