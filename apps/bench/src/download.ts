import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { parseByteSize } from '@airllm/runtime';
import { count } from './arguments';
import { FILE, HubProcess, REPO, startBench } from './hub-process';
import { machine } from './machine';
import type { PullFigures } from './pull-once';
import { bytes, head, percent, rate, row } from './units';

export const usage = `bench download [--bytes 2GB] [--rounds 3] [--kills 100] [--kill-rate 16MB] [--work <folder>]
                  (from a Hub on loopback: speed against curl, in turn; then one download that is killed so many times)`;

/** Connections that a download has in use. */
const CONNECTIONS = 8;
/** A download is killed so many seconds after bytes began to come, at most. */
const MOST_SECONDS = 1.2;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      bytes: { type: 'string', default: '2GB' },
      rounds: { type: 'string', default: '3' },
      kills: { type: 'string', default: '100' },
      'kill-rate': { type: 'string', default: '16MB' },
      work: { type: 'string', default: tmpdir() },
    },
  });
  const size = parseByteSize(values.bytes, '--bytes');
  const rounds = Number(values.rounds) === 0 ? 0 : count(values.rounds, 'rounds');
  const kills = Number(values.kills) === 0 ? 0 : count(values.kills, 'kills');
  const work = await mkdtemp(path.join(values.work, 'airllm-download-'));
  const hub = await HubProcess.start(size);
  try {
    console.log(await machine(work));
    if (rounds > 0) await compareWithCurl(hub, work, size, rounds);
    if (kills > 0) await killAndResume(hub, work, size, kills, parseByteSize(values['kill-rate'], '--kill-rate'));
  } finally {
    hub.stop();
    await rm(work, { recursive: true, force: true });
  }
}

async function compareWithCurl(hub: HubProcess, work: string, size: number, rounds: number): Promise<void> {
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    theirs.push(size / (await curl(`${hub.url}/${REPO}/resolve/main/${FILE}`, path.join(work, 'curl'))));
    const cache = path.join(work, 'cache');
    ours.push(size / (await pullOnce(hub, cache)).seconds);
    await rm(cache, { recursive: true });
  }
  const [best, bestCurl] = [Math.max(...ours), Math.max(...theirs)];
  console.log(head(['bytes', 'airllm (sha256 verified)', '(all)', 'curl', '(all)', 'airllm : curl']));
  const all = (rates: readonly number[]) => rates.map((each) => (each / 1e9).toFixed(2)).join(' ');
  console.log(row([bytes(size), rate(best), all(ours), rate(bestCurl), all(theirs), percent(best / bestCurl)]));
}

/** Seconds that curl takes, into a file as well. */
async function curl(url: string, file: string): Promise<number> {
  const started = performance.now();
  const child = spawn('curl', ['--silent', '--show-error', '--fail', '--location', '--output', file, url], {
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`curl ended with ${code}`);
  const seconds = (performance.now() - started) / 1000;
  await rm(file);
  return seconds;
}

async function pullOnce(hub: HubProcess, cache: string): Promise<PullFigures> {
  const child = startBench(['pull-once', '--endpoint', hub.url, '--cache', cache], 'figures');
  let [out, error] = ['', ''];
  child.stdout!.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr!.on('data', (chunk) => {
    error += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`a download ended with ${code}: ${error.trim()}`);
  return JSON.parse(out.trimEnd().split('\n').at(-1)!);
}

/**
 * Kills one download again and again while bytes come. What was read twice is what the processes took from their sockets
 * beyond the file; what the server sent beyond it has on top what was on its way when a process died.
 */
async function killAndResume(hub: HubProcess, work: string, size: number, kills: number, total: number): Promise<void> {
  const cache = path.join(work, 'killed');
  const counter = path.join(work, 'received');
  const args = ['pull-once', '--endpoint', hub.url, '--cache', cache, '--count', counter];
  await hub.throttle(total / CONNECTIONS);
  const before = await hub.bytesSent();
  let received = 0;
  let killed = 0;
  while (killed < kills) {
    const child = startBench(args, 'figures');
    const exit = once(child, 'exit');
    await Promise.race([once(child.stdout!, 'data'), exit]);
    const ended = await Promise.race([exit, sleep(Math.random() * MOST_SECONDS * 1000)]);
    child.kill('SIGKILL');
    await exit;
    received += await countedIn(counter);
    if (ended !== undefined) break;
    killed++;
  }
  await hub.throttle(null);
  const last = startBench(args, 'figures');
  let out = '';
  last.stdout!.on('data', (chunk) => {
    out += chunk;
  });
  await once(last, 'close');
  received += await countedIn(counter);
  const { dir } = JSON.parse(out.trimEnd().split('\n').at(-1)!) as PullFigures;
  const sent = (await hub.bytesSent()) - before - size;
  const right = await isRight(path.join(dir, FILE), `${hub.url}/${REPO}/resolve/main/${FILE}`);
  console.log(head(['bytes', 'kill -9', 'read again (heads of answers too)', 'sent again', 'the file']));
  const of = (again: number) => `${bytes(again)}, ${percent(again / size, 2)}`;
  console.log(row([bytes(size), `${killed}`, of(received - size), of(sent), right ? 'as published' : 'WRONG']));
  if (killed < kills) console.log(`ended after ${killed} kills: lower --kill-rate or raise --bytes for more`);
  if (!right) throw new Error('the file is not what was published');
}

/** Bytes that a process took from its sockets; none if it had not come that far. */
async function countedIn(file: string): Promise<number> {
  const content = await readFile(file).catch(() => null);
  await rm(file, { force: true });
  return content === null || content.length < 8 ? 0 : content.readDoubleLE();
}

/** Whether the file has the sha256 that the Hub names. */
async function isRight(file: string, url: string): Promise<boolean> {
  const response = await fetch(url, { method: 'HEAD', redirect: 'manual' });
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return response.headers.get('x-linked-etag') === `"${hash.digest('hex')}"`;
}
