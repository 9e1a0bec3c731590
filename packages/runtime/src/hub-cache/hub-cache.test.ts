import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { acquireLock } from '../hub/cache/lock';
import { CacheInUseError } from './errors';
import { listCached } from './list-cached';
import { removeCached } from './remove-cached';

const [OLD, NEW] = ['a'.repeat(40), 'b'.repeat(40)];
const digest = (letter: string) => letter.repeat(64);

const CONFIG = '{"model_type":"llama","quantization_config":{"quant_method":"gptq"}}';
const INDEX = JSON.stringify({ weight_map: { a: 'one.safetensors', b: 'two.safetensors' } });
const SMALL = CONFIG.length + INDEX.length;

/** A repository at two commits, whose first shard is the same; and what an unfinished download left. */
function cache() {
  const root = mkdtempSync(path.join(tmpdir(), 'airllm cache#'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const dir = path.join(root, 'models--org--name');
  const blob = (name: string, bytes: number | string) => {
    mkdirSync(path.join(dir, 'blobs'), { recursive: true });
    writeFileSync(path.join(dir, 'blobs', name), typeof bytes === 'string' ? bytes : Buffer.alloc(bytes));
  };
  const link = (commit: string, file: string, to: string) => {
    const at = path.join(dir, 'snapshots', commit, file);
    mkdirSync(path.dirname(at), { recursive: true });
    symlinkSync(path.relative(path.dirname(at), path.join(dir, 'blobs', to)), at);
  };
  const ref = (name: string, commit: string) => {
    mkdirSync(path.dirname(path.join(dir, 'refs', name)), { recursive: true });
    writeFileSync(path.join(dir, 'refs', name), commit);
  };
  blob(digest('1'), 1000);
  blob(digest('2'), 2000);
  blob(digest('3'), 3000);
  blob('c'.repeat(40), CONFIG);
  blob('d'.repeat(40), INDEX);
  blob(`${digest('4')}.incomplete`, 5000);
  // What is known of a finished download, until the drive has it for sure.
  blob(`${digest('2')}.airllm.journal`, '');
  for (const [commit, second] of [
    [OLD, '2'],
    [NEW, '3'],
  ] as const) {
    link(commit, 'config.json', 'c'.repeat(40));
    link(commit, 'model.safetensors.index.json', 'd'.repeat(40));
    link(commit, 'one.safetensors', digest('1'));
    link(commit, 'two.safetensors', digest(second));
    link(commit, 'extra/card.json', 'c'.repeat(40));
  }
  ref('main', NEW);
  ref('pr/1', OLD);
  mkdirSync(path.join(root, 'datasets--org--name', 'blobs'), { recursive: true });
  mkdirSync(path.join(root, '.locks', 'models--org--name'), { recursive: true });
  return { root, dir };
}

test('a cache tells repositories, commits, formats and sizes; shared files count once', async () => {
  const began = Date.now();
  const { root, dir } = cache();
  const [model, ...others] = await listCached({ cacheDir: root });
  expect(others).toEqual([]);
  expect(model).toMatchObject({ repo: 'org/name', dir, bytes: 6000 + SMALL + 5000, partialBytes: 5000 });
  expect(model!.lastUsed!.getTime()).toBeGreaterThan(began - 60_000);
  expect(model!.snapshots.map(({ commit, refs }) => [commit, refs])).toEqual([
    [OLD, ['pr/1']],
    [NEW, ['main']],
  ]);
  const facts = { format: 'safetensors', quantisation: 'gptq', modelType: 'llama', missing: [] };
  expect(model!.snapshots[1]).toMatchObject({ ...facts, bytes: 4000 + SMALL + CONFIG.length });
  expect(model!.snapshots[1]!.files.map(({ name }) => name)).toContain('extra/card.json');
  // What systems and people leave lying around is none of it.
  for (const place of [
    '.DS_Store',
    'models--a--file',
    'models--org--name/snapshots/.DS_Store',
    'models--org--name/refs/.DS_Store',
  ]) {
    writeFileSync(path.join(root, place), '');
  }
  symlinkSync('/nowhere', path.join(root, 'models--dangling--link'));
  const again = await listCached({ cacheDir: root });
  const { snapshots } = again.find(({ repo }) => repo === 'org/name')!;
  // To have looked may count as a use.
  const seen = (all: typeof snapshots) => all.map(({ commit, files }) => [commit, files.map(({ name }) => name)]);
  expect(seen(snapshots)).toEqual(seen(model!.snapshots));
  expect(await listCached({ cacheDir: path.join(root, 'nowhere') })).toEqual([]);
});

test('a snapshot that lacks a shard says which', async () => {
  const { root, dir } = cache();
  rmSync(path.join(dir, 'blobs', digest('3')));
  const [model] = await listCached({ cacheDir: root });
  expect(model!.snapshots.map(({ missing }) => missing)).toEqual([[], ['two.safetensors']]);
});

test('what another snapshot needs stays', async () => {
  const { root, dir } = cache();
  const [model] = await listCached({ cacheDir: root });
  const [old] = model!.snapshots;
  const expected = { repo: 'org/name', commits: [OLD], whole: false, bytesFreed: 2000, bytesShared: 1000 + SMALL };
  expect(await removeCached(model!, { snapshots: [old!], dryRun: true })).toEqual(expected);
  expect(existsSync(old!.dir)).toBe(true);
  expect(await removeCached(model!, { snapshots: [old!] })).toEqual(expected);
  const [left] = await listCached({ cacheDir: root });
  const kept = model!.snapshots[1]!;
  const names = kept.files.map(({ name, blob }) => ({ name, blob }));
  expect(left!.snapshots).toMatchObject([
    { commit: NEW, refs: ['main'], bytes: kept.bytes, missing: [], files: names },
  ]);
  expect(readdirSync(path.join(dir, 'refs'))).toEqual(['main']);
  expect(readdirSync(path.join(dir, 'blobs')).join()).not.toContain(digest('2'));
});

test('the last snapshot takes everything with it', async () => {
  const { root, dir } = cache();
  const [model] = await listCached({ cacheDir: root });
  const removed = await removeCached(model!);
  expect(removed).toMatchObject({ commits: [OLD, NEW], whole: true, bytesFreed: model!.bytes, bytesShared: 0 });
  expect(existsSync(dir)).toBe(false);
  expect(readdirSync(path.join(root, '.locks'))).toEqual([]);
  expect(readdirSync(root)).toContain('datasets--org--name');
});

test('what is being downloaded is not removed', async () => {
  const { root, dir } = cache();
  const [model] = await listCached({ cacheDir: root });
  const lock = await acquireLock(path.join(root, '.locks', 'models--org--name', `${digest('4')}.lock`));
  await expect(removeCached(model!)).rejects.toSatisfy(CacheInUseError.isInstance);
  expect(existsSync(path.join(dir, 'refs', 'main'))).toBe(true);
  await lock.release();
  expect(await removeCached(model!)).toMatchObject({ whole: true });
});
