import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseByteSize } from '@airllm/runtime';
import { testCertificate } from '../../../.ci/hub-server';
import { count, readOptions, UsageError } from './arguments';
import { killAndResume } from './download-kills';
import { compareSpeed } from './download-speed';
import { HubProcess } from './hub-process';
import { machine } from './machine';

export const usage = `bench download [--bytes 2GB] [--rounds 4] [--server hub|https|nginx] [--link 400MB] [--kills 100] [--kill-rate 16MB] [--work <folder>]
                  (speed against curl, in turn: from a Hub on loopback, its files from the same process, bare or encrypted, or from nginx, and over
                  a line of so many bytes per second; then one download that is killed so many times)`;

export async function run(args: string[]): Promise<void> {
  const values = readOptions(args, {
    bytes: '2GB',
    rounds: '4',
    server: 'hub',
    link: '400MB',
    kills: '100',
    'kill-rate': '16MB',
    work: tmpdir(),
  });
  const { server } = values;
  if (server !== 'hub' && server !== 'https' && server !== 'nginx') throw new UsageError(usage, `--server ${server}`);
  const size = parseByteSize(values.bytes, '--bytes');
  const rounds = Number(values.rounds) === 0 ? 0 : count(values.rounds, 'rounds');
  const kills = Number(values.kills) === 0 ? 0 : count(values.kills, 'kills');
  const work = await mkdtemp(path.join(values.work, 'airllm-download-'));
  if (server === 'https') await trustTestCertificate(work);
  const hub = await HubProcess.start(size, server === 'nginx' ? { nginx: work } : server);
  try {
    console.log(await machine(work));
    if (rounds > 0) {
      const link = server !== 'hub' ? undefined : parseByteSize(values.link, '--link');
      await compareSpeed(hub, server, work, size, rounds, link);
    }
    if (kills > 0 && server === 'hub') {
      await killAndResume(hub, work, size, kills, parseByteSize(values['kill-rate'], '--kill-rate'));
    }
  } finally {
    hub.stop();
    await rm(work, { recursive: true, force: true });
  }
}

/** Has curl and ours, started after this, trust what the Hub on loopback shows. */
async function trustTestCertificate(dir: string): Promise<void> {
  const file = path.join(dir, 'certificate.pem');
  await writeFile(file, testCertificate().cert);
  process.env.CURL_CA_BUNDLE = file;
  process.env.NODE_EXTRA_CA_CERTS = file;
}
