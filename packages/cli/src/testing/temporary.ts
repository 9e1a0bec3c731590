import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder that goes with the test; its name holds what breaks careless path handling. */
export function temporaryFolder(): string {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'airllm cli#'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
