import { parentPort } from 'node:worker_threads';
import { closeFile, copyFile, openFile, readFile } from './readers/file-io';
import type { Failure, HostMessage, Reply, Request, ThreadMessage } from './readers/protocol';
import { createFile, truncateFile, writeFile } from './readers/scratch-io';

// A reader thread: blocking calls, one after the other. Kept free of imports, since every thread holds its own copy.
parentPort?.on('message', ({ id, request }: HostMessage) => parentPort?.postMessage(answer(id, request)));

function answer(id: number, request: Request): ThreadMessage {
  try {
    return { id, value: perform(request) };
  } catch (error) {
    const { errno, code, found } = error as Partial<Failure> & { code?: string };
    const name = typeof code === 'string' ? code : typeof errno === 'string' ? errno : undefined;
    return { id, failure: { errno: name, message: (error as Error).message, found: found ?? 0 } };
  }
}

function perform(request: Request): Reply {
  switch (request.op) {
    case 'open':
      return openFile(request);
    case 'read':
      return readFile(request);
    case 'copy':
      return copyFile(request);
    case 'create':
      return createFile(request);
    case 'write':
      return writeFile(request);
    case 'truncate':
      truncateFile(request);
      return undefined;
    case 'close':
      closeFile(request);
      return undefined;
  }
}
