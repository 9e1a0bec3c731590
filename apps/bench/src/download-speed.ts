import { rm } from 'node:fs/promises';
import path from 'node:path';
import { benchCommand, FILE, type HubProcess, REPO } from './hub-process';
import type { PullFigures } from './pull-once';
import { timed } from './timed-command';
import { bytes, head, percent, rate, row } from './units';

/** One way of having the file: the time that counts, and all processor time. */
interface Run {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

/**
 * Downloads the same file with curl and with ours in turn, to the same drive, as fast as the server sends it and, where
 * given, over a line of so many bytes per second. curl verifies nothing: what sha256sum takes after it is added for those who
 * want to have what ours gives.
 */
export async function compareSpeed(
  hub: HubProcess,
  server: string,
  work: string,
  size: number,
  rounds: number,
  link: number | undefined,
): Promise<void> {
  const titles = ['server', 'bytes', 'airllm, verified', '(all)', 'curl', '(all)', 'airllm : curl', 'curl + sha256sum'];
  console.log(head([...titles, 'CPU s/GB: airllm', 'curl', 'curl + sha256sum']));
  for (const line of link === undefined ? [null] : [null, link]) {
    await hub.throttle(line);
    const ours: Run[] = [];
    const curl: Run[] = [];
    const verified: Run[] = [];
    for (let round = 0; round < rounds; round++) {
      const file = path.join(work, 'curl');
      const url = `${hub.url}/${REPO}/resolve/main/${FILE}`;
      const fetched = await timed(['curl', '--silent', '--show-error', '--fail', '--location', '--output', file, url]);
      const summed = await timed(['sha256sum', file]);
      await rm(file);
      curl.push(fetched);
      verified.push({
        seconds: fetched.seconds + summed.seconds,
        cpuSeconds: fetched.cpuSeconds + summed.cpuSeconds,
      });
      ours.push(await pullOnce(hub, path.join(work, 'cache')));
    }
    const name = line === null ? server : `${server}, ${bytes(line)}/s`;
    const perGb = (runs: readonly Run[]) =>
      Math.min(...runs.map(({ cpuSeconds }) => cpuSeconds / (size / 1e9))).toFixed(2);
    const best = (runs: readonly Run[]) => size / Math.min(...runs.map(({ seconds }) => seconds));
    const all = (runs: readonly Run[]) => runs.map(({ seconds }) => (size / seconds / 1e9).toFixed(2)).join(' ');
    const rates = [rate(best(ours)), all(ours), rate(best(curl)), all(curl), percent(best(ours) / best(curl))];
    const shares = [rate(best(verified)), perGb(ours), perGb(curl), perGb(verified)];
    console.log(row([name, bytes(size), ...rates, ...shares]));
  }
  await hub.throttle(null);
}

/** The time is that of `pullModel`, without the start of Node; the processor time is that of all. */
async function pullOnce(hub: HubProcess, cache: string): Promise<Run> {
  const { stdout, cpuSeconds } = await timed(benchCommand(['pull-once', '--endpoint', hub.url, '--cache', cache]));
  const { seconds }: PullFigures = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
  await rm(cache, { recursive: true });
  return { seconds, cpuSeconds };
}
