import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { AnswerFile, type BatchAnswer, LineLedger, readLines } from '@airllm/runtime';
import type { Context } from '../command';
import { UsageError } from '../errors';

/** Stands for stdin or stdout. */
const STANDARD = '-';

/** Where a batch comes from. */
export interface BatchInput {
  readonly lines: AsyncIterable<Uint8Array>;
  /** Undefined for a pipe. */
  readonly bytes: number | undefined;
}

/** Opens the input; nothing of it is read yet. Throws file system errors. */
export async function openInput(name: string, { io }: Context): Promise<BatchInput> {
  if (name === STANDARD) return { lines: readLines(chunksOf(io.stdin)), bytes: undefined };
  const stats = await stat(name);
  // A folder fails here, by name, and not after the model has been opened.
  if (stats.isDirectory()) throw new UsageError(`${name} is a folder; give a file with one request a line`);
  const stream = createReadStream(name, { highWaterMark: 2 ** 20 });
  return { lines: readLines(stream), bytes: stats.isFile() ? stats.size : undefined };
}

async function* chunksOf(stream: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) yield typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Uint8Array);
}

/** Where answers go. */
export interface BatchOutput {
  readonly answered: LineLedger;
  /** Answers of earlier runs. */
  readonly found: number;
  append(answer: BatchAnswer): Promise<void>;
  close(): Promise<void>;
}

/** Opens the output; throws as `AnswerFile.open`. */
export async function openOutput(name: string, input: string, { terminal }: Context): Promise<BatchOutput> {
  if (name === STANDARD) {
    const append = (answer: BatchAnswer) => terminal.print(`${JSON.stringify(answer)}\n`);
    return { answered: new LineLedger(), found: 0, append, close: async () => {} };
  }
  if (await isSameFile(name, input)) throw new UsageError('the output would be written over the input');
  return AnswerFile.open(name);
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const real = (name: string) => realpath(name).catch(() => path.resolve(name));
  return (await real(a)) === (await real(b));
}
