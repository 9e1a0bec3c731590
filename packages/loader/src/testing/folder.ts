import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, onTestFinished } from 'vitest';

/**
 * A folder that lives as long as the test that asks for it, or outside of tests as long as the file runs. Its name has
 * what breaks careless URLs.
 */
export function temporaryFolder(parent: string = tmpdir()): string {
  const dir = mkdtempSync(join(parent, 'airllm loader#'));
  const remove = () => rmSync(dir, { recursive: true, force: true });
  if (expect.getState().currentTestName === undefined) afterAll(remove);
  else onTestFinished(remove);
  return dir;
}

const TMPFS = 0x01021994;

/** Whether the page cache is all there is of files below: nothing can be dropped from it. */
export function isMemory(dir: string): boolean {
  return statfsSync(dir).type === TMPFS;
}

/** Bytes with no short period, so that a block read from the wrong place is noticed. */
export function patternBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0, state = 1; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** Writes a safetensors file of any header, right or wrong, without the writer under test. */
export function writeRaw(path: string, header: string | object, data: Uint8Array = new Uint8Array(0)): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(path, Buffer.concat([length, json, data]));
  return path;
}
