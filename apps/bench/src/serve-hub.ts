import { open } from 'node:fs/promises';
import path from 'node:path';
import { type HubContent, HubServer, Link, patternContent, testCertificate } from '../../../.ci/hub-server';
import { readOptions } from './arguments';
import { FILE, type HubAnswer, type HubQuestion, REPO } from './hub-process';
import { startNginx } from './nginx';

export const usage =
  'bench serve-hub --bytes <n> [--nginx <folder>] [--certificate]   (a Hub on loopback, for `download`)';

/** Serves one model of so many bytes, its weights by nginx or encrypted if asked for, until the process that started it ends. */
export async function run(args: string[]): Promise<void> {
  const values = readOptions(args, {
    bytes: '2000000000',
    nginx: undefined,
    certificate: false,
  });
  const weights = patternContent(Number(values.bytes));
  const nginx = values.nginx === undefined ? undefined : await serveByNginx(values.nginx, weights);
  const server = await HubServer.start({
    ...(nginx && { cdnUrl: nginx.url }),
    ...(values.certificate && { certificate: testCertificate() }),
  });
  await server.addRepo(REPO, { 'config.json': '{}', [FILE]: weights });
  let release = () => {};
  process.on('message', (question: HubQuestion) => {
    if (question !== 'bytes') {
      release();
      const { throttle } = question;
      release =
        throttle === null
          ? () => {}
          : server.fault({ route: 'cdn', fault: { kind: 'link', link: new Link(throttle) } });
    }
    process.send!({ bytes: server.bytesSent } satisfies HubAnswer);
  });
  process.on('disconnect', () => {
    nginx?.child.kill();
    process.exit();
  });
  process.send!({ url: server.url } satisfies HubAnswer);
}

async function serveByNginx(dir: string, weights: HubContent) {
  const file = path.join(dir, FILE);
  const handle = await open(file, 'w');
  for (let at = 0; at < weights.size; at += 2 ** 20) {
    await handle.write(await weights.read(at, Math.min(at + 2 ** 20, weights.size)));
  }
  await handle.close();
  return startNginx(path.join(dir, 'nginx'), file);
}
