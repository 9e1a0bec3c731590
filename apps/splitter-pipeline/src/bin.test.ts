import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';

const dir = mkdtempSync(path.join(os.tmpdir(), 'airllm pipeline#'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const bin = fileURLToPath(new URL('../dist/bin.js', import.meta.url));

interface Line {
  event: string;
  [fact: string]: unknown;
}

async function pipeline(...args: string[]): Promise<{ code: number | null; lines: Line[]; stderr: string }> {
  const child = spawn(process.execPath, [bin, ...args], { cwd: dir });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const code = await new Promise<number | null>((resolve) => {
    child.on('close', resolve);
  });
  const lines = stdout.split('\n').filter(Boolean);
  return { code, lines: lines.map((line) => JSON.parse(line)), stderr };
}

/** A checkpoint of two layers, put together by hand: this app knows nothing but @airllm/shard. */
function writeModel(folder: string): void {
  const names = [
    'model.embed_tokens.weight',
    'model.layers.0.mlp.up_proj.weight',
    'model.layers.1.mlp.up_proj.weight',
    'model.norm.weight',
  ];
  const header = JSON.stringify(
    Object.fromEntries(
      names.map((name, i) => [name, { dtype: 'F32', shape: [50, 10], data_offsets: [i * 2000, i * 2000 + 2000] }]),
    ),
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const data = Buffer.from(Float32Array.from({ length: 2000 }, (_, i) => Math.sin(i)).buffer);
  writeFileSync(path.join(folder, 'model.safetensors'), Buffer.concat([length, Buffer.from(header), data]));
}

test('splits, reports as JSON lines, verifies, and does nothing the second time', async () => {
  const model = mkdtempSync(path.join(dir, 'model'));
  writeModel(model);
  writeFileSync(path.join(model, 'config.json'), '{"model_type":"llama"}');
  const first = await pipeline(model, 'out');
  expect(first.stderr).toBe('');
  expect(first.code).toBe(0);
  expect(first.lines.find(({ event }) => event === 'split')).toMatchObject({
    files: 4,
    filesWritten: 6,
    notCopied: [],
  });
  expect(first.lines.at(-1)).toMatchObject({ event: 'verified', files: 6, tensors: 4 });
  const progress = first.lines.filter(({ event }) => event === 'progress');
  expect(new Set(progress.map(({ phase }) => phase))).toEqual(new Set(['split', 'verify']));
  expect(progress.at(-1)!.bytesDone).toBe(progress.at(-1)!.bytesTotal);
  expect(readdirSync(path.join(dir, 'out'))).toContain('model.layers.01.safetensors');

  const second = await pipeline(model, 'out');
  expect(second.code).toBe(0);
  expect(second.lines.find(({ event }) => event === 'split')).toMatchObject({ filesWritten: 0 });
});

test('an error is the last line and the exit code', async () => {
  const missing = await pipeline('nowhere', 'elsewhere');
  expect(missing.code).toBe(1);
  expect(missing.lines.at(-1)).toMatchObject({ event: 'error', name: 'MissingFileError', code: 'ERR_MISSING_FILE' });
  expect(missing.stderr).toBe('');
  expect(await pipeline('only one')).toMatchObject({ code: 2, lines: [] });
});
