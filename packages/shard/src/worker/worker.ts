import { parentPort, workerData } from 'node:worker_threads';
import { checkFile } from './check-file';
import { type Failure, type HostMessage, JobFailure, type WorkerMessage, type WorkerSettings } from './protocol';
import { Workspace } from './workspace';
import { writeFile } from './write-file';

// One file at a time with blocking calls: reading, hashing and writing of several workers overlap, and neither the
// host's event loop nor libuv's pool notices.
const port = parentPort!;
const send = (message: WorkerMessage) => port.postMessage(message);
let current = 0;
const workspace = new Workspace(workerData as WorkerSettings, (bytes) =>
  send({ id: current, type: 'progress', bytes }),
);

port.on('message', ({ id, job }: HostMessage) => {
  current = id;
  try {
    const result = job.kind === 'write' ? writeFile(job, workspace) : checkFile(job, workspace);
    workspace.flush();
    send({ id, type: 'done', result });
  } catch (error) {
    send({ id, type: 'failed', failure: factsOf(error) });
  } finally {
    workspace.reset();
  }
});

function factsOf(error: unknown): Failure {
  if (error instanceof JobFailure) return error.failure;
  return { kind: 'other', message: (error as Error).stack ?? String(error) };
}
