import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder for the running test, removed when it ends. Its name has what breaks careless code: a space and a `#`. */
export function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'airllm runtime #'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
