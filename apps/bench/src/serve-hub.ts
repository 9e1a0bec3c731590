import { parseArgs } from 'node:util';
import { HubServer, patternContent } from '../../../.ci/hub-server';
import { FILE, type HubAnswer, type HubQuestion, REPO } from './hub-process';

export const usage = 'bench serve-hub --bytes <n>   (a Hub on loopback, for `download`)';

/** Serves one model of so many bytes until the process that started it ends. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { bytes: { type: 'string', default: '2000000000' } } });
  const server = await HubServer.start();
  await server.addRepo(REPO, { 'config.json': '{}', [FILE]: patternContent(Number(values.bytes)) });
  let release = () => {};
  process.on('message', (question: HubQuestion) => {
    if (question === 'bytes') {
      process.send!({ bytes: server.bytesSent } satisfies HubAnswer);
      return;
    }
    release();
    const bytesPerSecond = question.throttle;
    release =
      bytesPerSecond === null ? () => {} : server.fault({ route: 'cdn', fault: { kind: 'throttle', bytesPerSecond } });
    process.send!({ bytes: server.bytesSent } satisfies HubAnswer);
  });
  process.on('disconnect', () => process.exit());
  process.send!({ url: server.url } satisfies HubAnswer);
}
