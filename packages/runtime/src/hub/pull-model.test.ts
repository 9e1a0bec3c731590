import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { bytesOf, hubOptions } from '../testing/hub-options';
import { HubServer, patternContent, Ration } from '../testing/hub-server';
import { beginPull, openPull, pullModel } from './pull-model';
import type { HubFile, PullOptions, PullProgress } from './types';

const MIB = 2 ** 20;
const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
const FILES = {
  'config.json': '{"model_type":"llama"}',
  'generation_config.json': '{}',
  'tokenizer.json': JSON.stringify({ version: '1.0', padding: 'x'.repeat(3000) }),
  'model.safetensors.index.json': JSON.stringify({ weight_map: { a: SHARDS[0], b: SHARDS[1] } }),
  [SHARDS[0]]: patternContent(5 * MIB + 17, 3),
  [SHARDS[1]]: patternContent(3 * MIB, 4),
  'README.md': '# model',
  'original/consolidated.00.pth': patternContent(1000, 5),
  'pytorch_model.bin': patternContent(1000, 6),
};
const WANTED = ['config.json', 'generation_config.json', 'tokenizer.json', 'model.safetensors.index.json', ...SHARDS];

let server: HubServer;
let commit: string;

beforeAll(async () => {
  // A proxy of the machine has no business here.
  vi.stubEnv('no_proxy', '*');
  server = await HubServer.start({ pageSize: 3 });
  commit = (await server.addRepo('org/name', FILES)).resolve('main') as string;
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
});
afterEach(() => server.faults.clear());

/** With parts small enough that every file has several. */
async function pull(options: PullOptions) {
  return (await beginPull('org/name', options, { partBytes: MIB })).done;
}

async function expectFiles(dir: string, names: readonly string[] = WANTED) {
  for (const name of names) {
    const expected = await bytesOf(FILES[name as keyof typeof FILES]);
    expect(readFileSync(join(dir, name)).equals(expected), name).toBe(true);
  }
}

describe('a pull', () => {
  test('brings what a run needs and nothing else, in the layout of the Hugging Face cache', async () => {
    const options = hubOptions(server);
    const pulled = await pull(options);
    const root = join(options.cacheDir, 'models--org--name');
    expect(pulled).toMatchObject({ repo: 'org/name', commit, dir: join(root, 'snapshots', commit) });
    expect(readdirSync(pulled.dir).sort()).toEqual([...WANTED].sort());
    await expectFiles(pulled.dir);
    expect(readFileSync(join(root, 'refs', 'main'), 'utf8')).toBe(commit);
    for (const { path, etag, sha256 } of pulled.files) {
      expect(readlinkSync(join(pulled.dir, path))).toBe(`../../blobs/${etag}`);
      expect(etag).toMatch(path.startsWith('model-') ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/);
      expect(sha256 === undefined).toBe(etag.length === 40);
    }
    expect(readdirSync(join(root, 'blobs')).filter((name) => name.endsWith('.incomplete'))).toEqual([]);
    expect(readdirSync(join(options.cacheDir, '.locks', 'models--org--name'))).toContain(
      `${pulled.files.at(-1)?.etag}.lock`,
    );
  });

  test('of what is there asks for no file again, also for the files of a new commit', async () => {
    const repo = await server.addRepo('org/moving', FILES);
    const options = hubOptions(server);
    await pullModel('org/moving', options);
    const sent = server.bytesSent;
    // The index tells which shards there are, and is asked for.
    expect((await pullModel('org/moving', options)).bytesReceived).toBe(0);
    const next = await repo.commit({ ...FILES, 'config.json': '{"model_type":"qwen2"}' });
    const pulled = await pullModel('org/moving', options);
    expect(pulled.commit).toBe(next);
    expect(pulled.bytesReceived).toBe(22);
    expect(server.bytesSent - sent).toBeLessThan(1000);
    expect(readFileSync(join(pulled.dir, 'config.json'), 'utf8')).toContain('qwen2');
    await expectFiles(pulled.dir, SHARDS);
  });

  test('takes what Python downloaded, and files where links cannot be made', async () => {
    const options = hubOptions(server);
    const { dir } = await pull(options);
    // As huggingface_hub leaves them on Windows: no blobs, files in the snapshot.
    for (const name of WANTED) {
      const blob = join(dir, readlinkSync(join(dir, name)));
      rmSync(join(dir, name));
      renameSync(blob, join(dir, name));
    }
    rmSync(join(options.cacheDir, 'models--org--name', 'blobs'), { recursive: true });
    expect((await pull(options)).bytesReceived).toBe(0);
    expect(lstatSync(join(dir, SHARDS[0])).isFile()).toBe(true);
  });

  test('replaces a blob that somebody left too short', async () => {
    const options = hubOptions(server);
    const { dir, files } = await pull(options);
    writeFileSync(join(options.cacheDir, 'models--org--name', 'blobs', files.at(-1)?.etag as string), 'short');
    await pull(options);
    await expectFiles(dir);
  });

  test('tells how it goes', async () => {
    const events: PullProgress[] = [];
    const told: string[] = [];
    const ration = new Ration();
    server.fault({ route: 'cdn', fault: { kind: 'link', link: ration } });
    const running = await beginPull(
      'org/name',
      hubOptions(server, {
        connections: 1,
        onProgress: (event) => events.push(event),
        onFile: ({ path }) => told.push(path),
      }),
      { partBytes: MIB },
    );
    const small = WANTED.filter((path) => path.endsWith('.json')).sort();
    expect(running.files.map(({ path }) => path)).toEqual([...small, ...SHARDS]);
    // A part at a time.
    for (let parts = 1; parts <= 4; parts++) {
      ration.give(MIB);
      await expect.poll(() => events.at(-1)?.bytesDone).toBeGreaterThanOrEqual(parts * MIB);
    }
    ration.give(Infinity);
    const path = await running.ready(SHARDS[0]);
    expect(readFileSync(path).length).toBe(5 * MIB + 17);
    const { files } = await running.done;
    expect(told.sort()).toEqual(files.map((file) => file.path).sort());
    const total = files.reduce((sum, { size }) => sum + size, 0);
    expect(events.at(-1)).toMatchObject({
      bytesDone: total,
      bytesTotal: total,
      filesDone: 6,
      filesTotal: 6,
      secondsLeft: 0,
    });
    const middle = events.filter(({ bytesDone }) => bytesDone > MIB && bytesDone < total);
    expect(middle.length).toBeGreaterThan(2);
    for (const { bytesPerSecond, bytesAtStart, secondsLeft } of middle) {
      expect(bytesPerSecond).toBeGreaterThan(0);
      expect(secondsLeft ?? 1).toBeGreaterThan(0);
      expect(bytesAtStart).toBe(0);
    }
    const done = events.map(({ bytesDone }) => bytesDone);
    expect(done).toEqual([...done].sort((a, b) => a - b));
  });

  test('lets readers have ranges as soon as they are written', async () => {
    let release = () => {};
    const until = new Promise<void>((resolve) => {
      release = resolve;
    });
    const at = 2 * MIB;
    server.fault({ path: SHARDS[1], route: 'cdn', holding: at, fault: { kind: 'hold', at, until } });
    const running = await beginPull('org/name', hubOptions(server), { partBytes: MIB });
    const path = await running.written(SHARDS[1], MIB + 5, MIB + 25);
    expect(path).toMatch(/incomplete$/);
    const expected = (await bytesOf(FILES[SHARDS[1]])).subarray(MIB + 5, MIB + 25);
    expect(
      readFileSync(path)
        .subarray(MIB + 5, MIB + 25)
        .equals(expected),
    ).toBe(true);
    let late = false;
    const rest = running.written(SHARDS[1], 0, 3 * MIB).then(() => {
      late = true;
    });
    expect(late).toBe(false);
    release();
    await Promise.all([rest, running.done]);
    await expect(running.written('nothing.bin', 0, 1)).rejects.toThrow(/nothing.bin/);
  });

  test('fetches files in the order in which they are wanted', async () => {
    const order = (files: readonly HubFile[]) => [...files].reverse();
    const running = await openPull('org/name', hubOptions(server, { order, connections: 1 }));
    const first = running.files.find(({ size }) => size > MIB);
    expect(first?.path).toBe(SHARDS[1]);
    await running.done;
    await expectFiles(running.dir);
  });

  test('ends with the signal’s reason, and goes on from there', async () => {
    const controller = new AbortController();
    const options = hubOptions(server);
    const reason = new Error('enough');
    // Whichever file comes first, some of this one comes and not all of both.
    const ration = new Ration();
    ration.give(4 * MIB);
    const rationed = server.fault({ route: 'cdn', fault: { kind: 'link', link: ration } });
    const signalled = { ...options, connections: 1, signal: controller.signal };
    const running = await beginPull('org/name', signalled, { partBytes: MIB });
    await running.written(SHARDS[0], 0, 100_000);
    controller.abort(reason);
    await expect(running.done).rejects.toBe(reason);
    await expect(running.ready(SHARDS[0])).rejects.toBe(reason);
    rationed();
    const { bytesReceived, dir, files } = await pull(options);
    expect(bytesReceived).toBeLessThanOrEqual(files.reduce((sum, { size }) => sum + size, 0) - 100_000);
    await expectFiles(dir);
    await expect(pull({ ...options, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('leaves the ref of an older state in place until the new one is complete', async () => {
    const repo = await server.addRepo('org/update', FILES);
    const options = hubOptions(server);
    const { commit: before } = await pullModel('org/update', options);
    await repo.commit({ ...FILES, [SHARDS[1]]: patternContent(2 * MIB, 9) });
    const broken = server.fault({ path: SHARDS[1], route: 'cdn', fault: { kind: 'status', status: 500 } });
    await expect(pullModel('org/update', options)).rejects.toThrow();
    const ref = join(options.cacheDir, 'models--org--update', 'refs', 'main');
    expect(readFileSync(ref, 'utf8')).toBe(before);
    broken();
    const { commit: after } = await pullModel('org/update', options);
    expect(readFileSync(ref, 'utf8')).toBe(after);
  });

  test('verifies once more what was downloaded before the machine was started anew', async () => {
    const options = hubOptions(server);
    const { dir, files } = await pull(options);
    const { etag } = files.find(({ path }) => path === SHARDS[0]) as HubFile;
    const blob = join(options.cacheDir, 'models--org--name', 'blobs', etag);
    const journal = `${blob}.airllm.journal`;
    // What a power failure may leave: the journal of an earlier start, a page that was never written.
    writeFileSync(journal, readFileSync(journal, 'utf8').replace(/"boot":"[^"]*"/, '"boot":"earlier"'));
    const bytes = readFileSync(blob);
    bytes.fill(0, 4096, 8192);
    writeFileSync(blob, bytes);
    expect((await pull(options)).bytesReceived).toBe(5 * MIB + 17);
    await expectFiles(dir);
    // And no second time.
    expect((await pull(options)).bytesReceived).toBe(0);
  });

  test('refuses names that would lead out of the cache', async () => {
    await server.addRepo('org/evil', { '../../../evil.json': '{}', 'config.json': '{}' });
    const options = hubOptions(server, { files: ['../../../evil.json'] });
    mkdirSync(dirname(options.cacheDir), { recursive: true });
    await expect(pullModel('org/evil', options)).rejects.toThrow(/no path in a repository/);
    expect(readdirSync(dirname(options.cacheDir))).not.toContain('evil.json');
  });
});
