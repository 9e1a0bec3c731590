import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FILE, type HubProcess, REPO, startBench } from './hub-process';
import type { PullFigures } from './pull-once';
import { bytes, head, percent, row } from './units';

/** A download is killed so many seconds after bytes began to come, at most. */
const MOST_SECONDS = 1.2;

/**
 * Kills one download again and again while bytes come. What was read twice is what the processes took from their sockets
 * beyond the file; what the server sent beyond it has on top what was on its way when a process died.
 */
export async function killAndResume(
  hub: HubProcess,
  work: string,
  size: number,
  kills: number,
  total: number,
): Promise<void> {
  const cache = path.join(work, 'killed');
  const counter = path.join(work, 'received');
  const args = ['pull-once', '--endpoint', hub.url, '--cache', cache, '--count', counter];
  await hub.throttle(total);
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
