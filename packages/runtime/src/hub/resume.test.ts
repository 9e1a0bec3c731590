import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { bytesOf, hubOptions } from '../testing/hub-options';
import { HubServer, patternContent, Ration } from '../testing/hub-server';
import { bootId } from './cache/boot-id';
import { parseJournal } from './download/journal';
import { pullModel } from './pull-model';
import { RangeSet } from './range-set';

const MIB = 2 ** 20;
const WEIGHTS = 'model.safetensors';
const SIZE = 40 * MIB + 4321;
const weights = patternContent(SIZE, 21);
/** A process of its own runs what is built. */
const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
/** More than the small files: the weights are on their way. */
const BEGUN_BYTES = 50_000;
const program = `
  import { pullModel } from './index.js';
  const [repo, options] = JSON.parse(process.argv[1]);
  let told = false;
  const result = await pullModel(repo, {
    ...options,
    onProgress: ({ bytesDone }) => {
      if (!told && bytesDone > ${BEGUN_BYTES}) {
        told = true;
        console.log('begun');
      }
    },
  });
  console.log(JSON.stringify({ received: result.bytesReceived }));
`;

let server: HubServer;
beforeAll(async () => {
  vi.stubEnv('no_proxy', '*');
  server = await HubServer.start();
  await server.addRepo('org/name', { 'config.json': '{}', [WEIGHTS]: weights });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server.close();
});
afterEach(() => {
  server.faults.clear();
  server.requests.length = 0;
});

interface Child {
  readonly process: ChildProcess;
  readonly begun: Promise<void>;
  readonly done: Promise<{ received: number } | null>;
}

function startPull(options: object): Child {
  const argument = JSON.stringify(['org/name', options]);
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, argument], {
    cwd: dist,
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  let begin!: () => void;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  child.stdout.on('data', (text) => {
    output += text;
    if (output.includes('begun')) begin();
  });
  const done = new Promise<{ received: number } | null>((resolve) => {
    child.on('close', (code) => {
      begin();
      resolve(code === 0 ? JSON.parse(output.trim().split('\n').at(-1) as string) : null);
    });
  });
  return { process: child, begun, done };
}

async function expectWhole(cacheDir: string) {
  const root = join(cacheDir, 'models--org--name');
  const [commit] = readdirSync(join(root, 'snapshots'));
  const found = readFileSync(join(root, 'snapshots', commit as string, WEIGHTS));
  expect(found.equals(await bytesOf(weights))).toBe(true);
  expect(readdirSync(join(root, 'blobs')).filter((name) => name.endsWith('incomplete'))).toEqual([]);
}

/** What the journal knows of the weights. */
async function knownBytes(cacheDir: string): Promise<number> {
  const blobs = join(cacheDir, 'models--org--name', 'blobs');
  const name = readdirSync(blobs).find((each) => each.endsWith('.journal')) as string;
  const text = readFileSync(join(blobs, name), 'utf8');
  const { state } = parseJournal(text, name.split('.')[0] as string, SIZE, await bootId());
  return new RangeSet(state.ranges).size;
}

test('a download that is killed at random moments goes on at the byte where it stopped', async () => {
  const options = hubOptions(server, { connections: 4 });
  // So little that every process is killed at work, however late.
  const ration = new Ration();
  const rationed = server.fault({ route: 'cdn', fault: { kind: 'link', link: ration } });
  let known = 0;
  for (let killed = 0; killed < 8; killed++) {
    const child = startPull(options);
    ration.give(2 * MIB + Math.floor(Math.random() * 2 * MIB));
    await child.begun;
    await sleep(Math.random() * 300);
    child.process.kill('SIGKILL');
    expect(await child.done).toBeNull();
    const now = await knownBytes(options.cacheDir);
    expect(now).toBeGreaterThanOrEqual(known);
    known = now;
  }
  rationed();
  expect(known).toBeGreaterThan(BEGUN_BYTES);
  const { received } = (await startPull(options).done) as { received: number };
  expect(received).toBe(SIZE - known);
  await expectWhole(options.cacheDir);
});

test('of what a killed process had read nothing is sent twice', async () => {
  const options = hubOptions(server, { connections: 4, stallTimeoutMs: 600_000 });
  const sent = () => server.requests.filter(({ route }) => route === 'cdn').reduce((sum, { bytes }) => sum + bytes, 0);
  for (let killed = 0; killed < 4; killed++) {
    const all = sent() + 4 * (123_457 + killed);
    const stop = server.fault({ route: 'cdn', fault: { kind: 'stall', afterBytes: 123_457 + killed } });
    const child = startPull(options);
    // All that the server sends before it stalls is known then: nothing is under way that a kill could lose.
    await expect.poll(async () => [sent(), await knownBytes(options.cacheDir)]).toEqual([all, all]);
    child.process.kill('SIGKILL');
    await child.done;
    stop();
  }
  expect(sent()).toBeGreaterThan(4 * 123_457);
  expect(await startPull(options).done).not.toBeNull();
  expect(sent()).toBe(SIZE);
  await expectWhole(options.cacheDir);
});

test('two processes at once share one download', async () => {
  const options = hubOptions(server, { connections: 2 });
  const slow = server.fault({ route: 'cdn', fault: { kind: 'throttle', bytesPerSecond: 30 * MIB } });
  const children = [startPull(options), startPull(options)];
  const results = await Promise.all(children.map(({ done }) => done));
  slow();
  const received = results.map((result) => result?.received ?? Number.NaN).sort((a, b) => a - b);
  expect(received[0]).toBeLessThan(MIB);
  expect(received[1]).toBeGreaterThanOrEqual(SIZE);
  expect(server.bytesSent).toBeLessThan(SIZE + 1000);
  await expectWhole(options.cacheDir);
});

test('who waits for a process that is killed takes over where it was', async () => {
  const options = hubOptions(server, { connections: 2 });
  const ration = new Ration();
  ration.give(4 * MIB);
  const rationed = server.fault({ route: 'cdn', fault: { kind: 'link', link: ration } });
  const first = startPull(options);
  await expect.poll(() => knownBytes(options.cacheDir)).toBeGreaterThan(BEGUN_BYTES);
  const second = pullModel('org/name', options);
  // It has asked what there is, and comes to the lock.
  await expect.poll(() => server.requests.filter(({ route }) => route === 'info').length).toBe(2);
  await sleep(300);
  first.process.kill('SIGKILL');
  await first.done;
  rationed();
  const { bytesReceived } = await second;
  // Of what the first had begun with nothing comes again.
  expect(bytesReceived).toBeLessThan(SIZE - BEGUN_BYTES);
  expect(bytesReceived).toBeGreaterThan(SIZE / 2);
  await expectWhole(options.cacheDir);
});

test('two pulls in one process share one download', async () => {
  const options = hubOptions(server);
  const results = await Promise.all([pullModel('org/name', options), pullModel('org/name', options)]);
  expect(Math.min(...results.map(({ bytesReceived }) => bytesReceived))).toBeLessThan(1000);
  expect(existsSync(join(results[0].dir, WEIGHTS))).toBe(true);
  await expectWhole(options.cacheDir);
});

test('a large file that git keeps itself goes on as well, and is known by git’s hash', async () => {
  const file = patternContent(3 * MIB, 5);
  await server.addRepo('org/plain', { 'tokenizer.json': file }, { lfs: () => false });
  const options = hubOptions(server, { files: ['tokenizer.json'], retry: { attempts: 1 } });
  const undo = server.fault({ path: 'tokenizer.json', fault: { kind: 'cut', afterBytes: 2 * MIB } });
  await expect(pullModel('org/plain', options)).rejects.toMatchObject({ code: 'ERR_HUB_UNAVAILABLE' });
  undo();
  const { bytesReceived, dir } = await pullModel('org/plain', options);
  expect(bytesReceived).toBeLessThan(2 * MIB);
  expect(readFileSync(join(dir, 'tokenizer.json')).equals(await bytesOf(file))).toBe(true);
  await server.addRepo('org/bent', { 'tokenizer.json': patternContent(3 * MIB, 6) }, { lfs: () => false });
  server.fault({ path: 'tokenizer.json', fault: { kind: 'corrupt', at: 2 * MIB } });
  await expect(pullModel('org/bent', options)).rejects.toMatchObject({ algorithm: 'git-sha1' });
});
