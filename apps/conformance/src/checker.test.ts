import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runConformance } from './run';

// The checker must fail on what is wrong: copies of a fixture, each with one thing changed.
const fixture = fileURLToPath(new URL('../fixtures/llama', import.meta.url));
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'conformance checker #'));
  cpSync(fixture, dir, { recursive: true });
});
afterEach(() => rmSync(dir, { recursive: true }));

/** Overwrites one element of a tensor of `expected.safetensors` in place. */
function perturb(tensor: string, index: number, change: (view: DataView, offset: number) => void): void {
  const file = path.join(dir, 'expected.safetensors');
  const bytes = readFileSync(file);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerLength));
  const { dtype, data_offsets: offsets } = header[tensor];
  const size = dtype === 'I64' ? 8 : 4;
  change(new DataView(bytes.buffer, bytes.byteOffset), 8 + headerLength + offsets[0] + index * size);
  writeFileSync(file, bytes);
}

async function check(skipUnsupported = false): Promise<string[]> {
  const lines: string[] = [];
  await runConformance({ paths: [dir], skipUnsupported, executor: 'reference' }, (line) => lines.push(line));
  return lines;
}

describe('the checker', () => {
  it('passes the fixture as it is', async () => {
    const [line, totals] = await check();
    expect(line).toMatch(/^ok .* prompt logits \S+e-\d, 24 tokens equal, greedy logits \S+, \d+\.\d\d s$/);
    expect(totals).toBe('1 passed, 0 failed');
  });

  it('fails on a token that differs, and names it', async () => {
    perturb('generated', 5, (view, at) => view.setBigInt64(at, view.getBigInt64(at, true) ^ 1n, true));
    const [line, totals] = await check();
    expect(line).toContain('token 5 of 24 differs');
    expect(totals).toBe('0 passed, 1 failed');
  });

  it.each(['logits', 'gen_logits'])('fails on one element of %s that is off by 1e-3, and names it', async (tensor) => {
    perturb(tensor, 301 * 7 + 11, (view, at) => view.setFloat32(at, view.getFloat32(at, true) + 1e-3, true));
    const [line, totals] = await check();
    expect(line).toContain('1.0e-3 > 2.0e-4 at row 7, token 11');
    expect(totals).toBe('0 passed, 1 failed');
  });

  it('fails on other weights', async () => {
    const file = path.join(dir, 'model.safetensors');
    const bytes = readFileSync(file);
    bytes.writeFloatLE(bytes.readFloatLE(bytes.length - 400) + 0.5, bytes.length - 400);
    writeFileSync(file, bytes);
    expect((await check()).at(-1)).toBe('0 passed, 1 failed');
  });

  it('fails on a model type the runtime does not know, or skips it when asked to', async () => {
    const file = path.join(dir, 'config.json');
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), model_type: 'no_such_model' }));
    const [line, totals] = await check();
    expect(line).toMatch(/^FAIL .*no_such_model/);
    expect(totals).toBe('0 passed, 1 failed');
    expect((await check(true)).at(-1)).toBe('0 passed, 0 failed, 1 skipped');
  });

  it('fails on a folder without its weights', async () => {
    rmSync(path.join(dir, 'model.safetensors'));
    expect((await check(true)).at(-1)).toBe('0 passed, 1 failed');
  });
});
