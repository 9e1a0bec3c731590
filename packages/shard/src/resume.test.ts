import { spawn } from 'node:child_process';
import { existsSync, utimesSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { FormatError } from '@airllm/loader';
import { expect, test } from 'vitest';
import { SourceChangedError, TargetLockedError, VerifyError } from './errors';
import type { SplitOptions } from './options';
import { splitCheckpoint } from './split';
import { hashFolder, readTensors, writeCheckpoint } from './testing/checkpoints';
import { sharedFolder } from './testing/shared';
import { temporaryFolder } from './testing/temporary';
import { verifyShards } from './verify';

const golden = sharedFolder('golden-quant');
const PACKAGE = fileURLToPath(new URL('..', import.meta.url));

/**
 * A split from the built package in a process of its own, killed a moment after so many more files have been finished;
 * whether it had ended by then. Counting files, not seconds, makes a quick machine be killed as often as a slow one; it
 * watches itself, since another process may not get its turn before all is over.
 */
async function splitAndKill(source: string, target: string, more: number, options: SplitOptions): Promise<boolean> {
  const program = `import { existsSync, readdirSync } from 'node:fs';
    import { splitCheckpoint } from '@airllm/shard';
    const target = ${JSON.stringify(target)};
    const finished = () => (existsSync(target) ? readdirSync(target).length : 0);
    const enough = finished() + ${more};
    const kill = () => process.kill(process.pid, 'SIGKILL');
    const watch = setInterval(() => {
      if (finished() < enough) return;
      clearInterval(watch);
      setTimeout(kill, ${Math.random() * 8});
    }, 1).unref();
    const options = ${JSON.stringify({ ...options, concurrency: 2 })};
    await splitCheckpoint(${JSON.stringify(source)}, target, options);
    clearInterval(watch);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd: PACKAGE,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
    child.on('close', (...end) => resolve(end));
  });
  if (signal === null && code !== 0) throw new Error(stderr);
  return code === 0;
}

/** What tells a file from one that was written again. */
async function identities(dir: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of existsSync(dir) ? await readdir(dir) : []) {
    if (name === '.split') continue;
    const { ino, mtimeMs } = await stat(path.join(dir, name));
    found.set(name, `${ino} ${mtimeMs}`);
  }
  return found;
}

test.each([
  ['copying', { layers: 11, hidden: 768, intermediate: 1536 }, {}],
  ['converting', { layers: 8, hidden: 512, intermediate: 1024, normal: true, dtype: 'F32' }, { compress: '8bit' }],
] as const)(
  'killed at any moment while %s, it continues: nothing is done twice, and every byte is right',
  async (_, kind, options) => {
    const dir = temporaryFolder();
    const source = await writeCheckpoint(path.join(dir, 'source'), {
      vocabulary: 4000,
      ...kind,
    });
    const out = path.join(dir, 'out');
    let kills = 0;
    let resumed = 0;
    let finished = false;
    for (let runs = 0; !finished && runs < 6; runs++) {
      const before = await identities(out);
      const killed = !(await splitAndKill(source, out, 1 + Math.floor(Math.random() * 3), options));
      if (killed) kills++;
      const after = await identities(out);
      for (const [name, identity] of before) expect([name, after.get(name)]).toEqual([name, identity]);
      resumed += before.size;
      // A manifest says that all is there, also where the process did not live to tell.
      finished = existsSync(path.join(out, 'manifest.json'));
      if (finished) await verifyShards(out);
      else expect(killed).toBe(true);
    }
    await splitCheckpoint(source, out, options);
    expect(kills).toBeGreaterThan(0);
    expect(resumed).toBeGreaterThan(0);
    await verifyShards(out);
    const straight = path.join(dir, 'straight');
    await splitCheckpoint(source, straight, options);
    expect(await hashFolder(out)).toEqual(await hashFolder(straight));
  },
);

/** A split that was stopped after some of its files. */
async function begun(): Promise<{ dir: string; source: string; out: string }> {
  const dir = temporaryFolder();
  const source = await writeCheckpoint(path.join(dir, 'source'), { layers: 6, hidden: 512, intermediate: 1024 });
  const out = path.join(dir, 'out');
  const controller = new AbortController();
  const reason = new Error('stop');
  // The first of nine files is there: progress events would come too late on a quick drive.
  const watch = setInterval(() => {
    if (existsSync(path.join(out, 'embed.safetensors'))) controller.abort(reason);
  }, 1);
  const failure = await splitCheckpoint(source, out, { signal: controller.signal, concurrency: 1 }).catch((e) => e);
  clearInterval(watch);
  expect(failure).toBe(reason);
  return { dir, source, out };
}

test('aborted, it keeps finished files, leaves nothing unfinished and continues', async () => {
  const { source, out } = await begun();
  expect((await readdir(path.join(out, '.split'))).sort()).toEqual(['journal.jsonl']);
  const before = await identities(out);
  expect(before.size).toBeGreaterThan(0);
  const report = await splitCheckpoint(source, out);
  expect(report.filesWritten).toBe(report.manifest.files.length + report.manifest.extras.length - before.size);
  const after = await identities(out);
  for (const [name, identity] of before) expect(after.get(name)).toBe(identity);
  expect(existsSync(path.join(out, '.split'))).toBe(false);
  await verifyShards(out);
});

test('a journal cut off at any byte still serves', async () => {
  const { source, out } = await begun();
  const journal = path.join(out, '.split', 'journal.jsonl');
  const { size } = await stat(journal);
  await truncate(journal, size - 17);
  await appendFile(path.join(out, '.split', '3.part'), 'half a file');
  await splitCheckpoint(source, out);
  await verifyShards(out);
});

test('a finished split is recognised and left alone; a file that has gone since is made again', async () => {
  const { source, out } = await begun();
  const { manifest } = await splitCheckpoint(source, out);
  const before = await identities(out);
  const whole = await hashFolder(out);
  // As a process leaves it that is killed right after its manifest.
  await mkdir(path.join(out, '.split'));
  await writeFile(path.join(out, '.split', 'journal.jsonl'), '{}');
  expect(await splitCheckpoint(source, out)).toMatchObject({ filesWritten: 0, bytesWritten: 0, manifest });
  expect(await identities(out)).toEqual(before);
  expect(await hashFolder(out)).toEqual(whole);
  await rm(path.join(out, 'norm.safetensors'));
  expect(await splitCheckpoint(source, out)).toMatchObject({ filesWritten: 1 });
  expect(await hashFolder(out)).toEqual(whole);
});

test('a changed source, or another dtype, is noticed before and after the end, and restart begins anew', async () => {
  const { dir, source, out } = await begun();
  const weights = path.join(source, 'model.safetensors');
  const { atime, mtime } = await stat(weights);
  const changesOf = async (options = {}) => {
    const failure = await splitCheckpoint(source, out, options).catch((e) => e);
    if (!SourceChangedError.isInstance(failure)) throw new Error(`no SourceChangedError but ${failure}`);
    return failure.changes.join();
  };
  for (const finish of [false, true]) {
    if (finish) await splitCheckpoint(source, out);
    const before = await identities(out);
    await utimes(weights, atime, new Date(mtime.getTime() + 5000));
    expect(await changesOf()).toMatch(/model\.safetensors/);
    await utimes(weights, atime, mtime);
    expect(await changesOf({ dtype: 'float32' })).toMatch(/dtype/);
    await writeFile(path.join(source, 'merges.txt'), 'new');
    expect(await changesOf()).toMatch(/merges\.txt/);
    await rm(path.join(source, 'merges.txt'));
    expect(await identities(out)).toEqual(before);
  }
  await writeCheckpoint(source, { layers: 2 }, 99);
  expect(await changesOf()).toMatch(/bytes/);
  await splitCheckpoint(source, out, { restart: true });
  await verifyShards(out);
  await splitCheckpoint(source, path.join(dir, 'fresh'));
  // Files of the first source are gone, and only those.
  expect(await hashFolder(out)).toEqual(await hashFolder(path.join(dir, 'fresh')));
});

test('a source that changes while it is split is noticed', async () => {
  const dir = temporaryFolder();
  const source = await writeCheckpoint(path.join(dir, 'source'));
  const onProgress = () => utimesSync(path.join(source, 'model.safetensors'), 1, 1);
  const failure = await splitCheckpoint(source, path.join(dir, 'out'), { onProgress }).catch((e) => e);
  expect(SourceChangedError.isInstance(failure)).toBe(true);
  expect(existsSync(path.join(dir, 'out', 'manifest.json'))).toBe(false);
});

test('a damaged manifest stops a resume, and restart replaces it', async () => {
  const { source, out } = await begun();
  await splitCheckpoint(source, out);
  await appendFile(path.join(out, 'manifest.json'), ' ');
  const failure = await splitCheckpoint(source, out).catch((e) => e);
  expect(FormatError.isInstance(failure) && failure.file).toBe(path.join(out, 'manifest.json'));
  await splitCheckpoint(source, out, { restart: true });
  await verifyShards(out);
});

test('two runs into one target: one works, the other is told; locks of dead processes are taken over', async () => {
  const dir = temporaryFolder();
  const source = await writeCheckpoint(path.join(dir, 'source'), { layers: 6, hidden: 512, intermediate: 1024 });
  const out = path.join(dir, 'out');
  const runs = await Promise.allSettled([
    splitCheckpoint(source, out),
    splitCheckpoint(source, out),
    splitCheckpoint(source, out),
  ]);
  const failures = runs.flatMap((run) => (run.status === 'rejected' ? [run.reason] : []));
  expect(failures.length).toBeLessThan(3);
  for (const failure of failures) {
    expect(TargetLockedError.isInstance(failure)).toBe(true);
    expect(failure).toMatchObject({ pid: process.pid, host: os.hostname() });
  }
  await verifyShards(out);

  await rm(out, { recursive: true });
  await mkdir(path.join(out, '.split'), { recursive: true });
  const lock = path.join(out, '.split', 'lock');
  await writeFile(lock, JSON.stringify({ pid: 1, host: 'another machine', started: null, token: 'x' }));
  const failure = await splitCheckpoint(source, out).catch((e) => e);
  expect(TargetLockedError.isInstance(failure) && failure.lockFile).toBe(lock);
  // This process, as it would be if its number had been given out again.
  await writeFile(lock, JSON.stringify({ pid: process.pid, host: os.hostname(), started: '1', token: 'x' }));
  if (process.platform !== 'linux') await rm(lock);
  await splitCheckpoint(source, out);
  await verifyShards(out);
});

test.skipIf(golden === undefined).each([
  ['bin-sharded', 'pickle', /\.bin$/],
  ['gguf-split-q8_0', 'gguf', /\.gguf$/],
  ['bnb-nf4', 'single', /\.safetensors$/],
])('%s: a source of any kind is described, noticed when it changes, and deleted', async (name, layout, weights) => {
  const dir = temporaryFolder();
  const source = path.join(dir, 'source');
  // Written, not copied: the reference data may be read-only.
  await mkdir(source);
  for (const file of await readdir(path.join(golden!, name))) {
    if (/expected|case/.test(file)) continue;
    await writeFile(path.join(source, file), await readFile(path.join(golden!, name, file)));
  }
  const out = path.join(dir, 'out');
  const model = name.startsWith('gguf') ? path.join(source, (await readdir(source)).sort()[0]!) : source;
  const { manifest } = await splitCheckpoint(model, out);
  expect(manifest.source.layout).toBe(layout);
  const files = (await readdir(source)).filter((file) => weights.test(file));
  const described = manifest.source.files.filter(({ headerSha256 }) => headerSha256 !== null);
  expect(described.map(({ file }) => file).sort()).toEqual(files.sort());
  expect(await splitCheckpoint(model, out)).toMatchObject({ filesWritten: 0 });

  // Same size and time, another header.
  const file = path.join(source, files.at(-1)!);
  const { atime, mtime } = await stat(file);
  const bytes = await readFile(file);
  const changed = Buffer.from(bytes);
  changed[name === 'bnb-nf4' ? bytes.indexOf('format') : 40]! ^= 1;
  await writeFile(file, changed);
  await utimes(file, atime, mtime);
  const failure = await splitCheckpoint(model, out).catch((e) => e);
  expect(SourceChangedError.isInstance(failure) || FormatError.isInstance(failure)).toBe(true);
  await writeFile(file, bytes);
  await utimes(file, atime, mtime);

  const { deleted } = await splitCheckpoint(model, out, { deleteSource: 'after-verify' });
  expect(deleted.map((each) => path.basename(each)).sort()).toEqual(files.sort());
  expect((await readdir(source)).filter((each) => weights.test(each))).toEqual([]);
  await verifyShards(out);
});

test('the source is deleted after verification only, through links, and an interrupted deletion goes on', async () => {
  const dir = temporaryFolder();
  const blobs = await writeCheckpoint(path.join(dir, 'blobs'), { shards: 3 });
  const source = path.join(dir, 'snapshot');
  await mkdir(source);
  for (const name of await readdir(blobs)) await symlink(path.join(blobs, name), path.join(source, name));
  const whole = await readTensors(source);
  const out = path.join(dir, 'out');
  await splitCheckpoint(source, out);

  await truncate(path.join(out, 'norm.safetensors'), 4097);
  const damaged = await readFile(path.join(out, 'embed.safetensors'));
  damaged[5000]! ^= 1;
  await writeFile(path.join(out, 'embed.safetensors'), damaged);
  const failure = await splitCheckpoint(source, out, { deleteSource: 'after-verify' }).catch((e) => e);
  // The short file was made again; the flipped bit was found by verifying.
  expect(VerifyError.isInstance(failure) && failure.file).toBe('embed.safetensors');
  expect((await readTensors(source)).size).toBe(whole.size);

  await rm(path.join(out, 'embed.safetensors'));
  await splitCheckpoint(source, out);
  await rm(path.join(source, 'model-00002-of-00003.safetensors'));
  const { deleted, filesWritten } = await splitCheckpoint(source, out, { deleteSource: 'after-verify' });
  expect(filesWritten).toBe(0);
  expect(deleted.map((file) => path.basename(file))).toEqual([
    'model-00001-of-00003.safetensors',
    'model-00003-of-00003.safetensors',
  ]);
  expect((await readdir(source)).sort()).toEqual(['config.json', 'model.safetensors.index.json', 'tokenizer.json']);
  expect((await readdir(blobs)).filter((name) => name.endsWith('.safetensors'))).toEqual([
    'model-00002-of-00003.safetensors',
  ]);
  for (const [name, { bytes }] of await readTensors(out)) expect(whole.get(name)!.bytes.equals(bytes)).toBe(true);
});
