import { createReadStream } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoName, FormatError, syncFolder } from '@airllm/loader';
import { TargetLock } from '@airllm/shard';
import { isJsonObject } from '../text/json-file';
import { AnswerFileError } from './answer-file-error';
import type { BatchAnswer } from './answers';
import { LineLedger } from './line-ledger';
import { type Line, splitLines } from './split-lines';

/** How every answer begins: tells a torn first answer from a file of somebody else's. */
const BEGINNING = '{"id":"batch_req_';

/**
 * A batch's output on a drive, one answer a line. What `append` has resolved for survives a crash of the process and of
 * the machine; whatever else is in the file after one is a torn last line, which opening it cuts off.
 */
export class AnswerFile {
  readonly path: string;
  /** What has been answered; for `runBatch`. */
  readonly answered: LineLedger;
  /** Answers that the file held when it was opened. */
  readonly found: number;
  readonly #handle: FileHandle;
  readonly #lock: TargetLock;
  #size: number;

  private constructor(path: string, handle: FileHandle, lock: TargetLock, held: Held) {
    this.path = path;
    this.answered = held.answered;
    this.found = held.count;
    this.#handle = handle;
    this.#lock = lock;
    this.#size = held.size;
  }

  /**
   * Opens or creates a file, and reads what it holds. While it is open, `<path>.lock` keeps other processes out.
   * Throws `FormatError` for a file that holds something else than answers (it is left as it is), `TargetLockedError`,
   * and `AnswerFileError`.
   */
  static async open(path: string): Promise<AnswerFile> {
    const lock = await naming(path, () => TargetLock.acquire(`${path}.lock`));
    try {
      const isNew = await isAbsent(path);
      const held = isNew
        ? { answered: new LineLedger(), count: 0, size: 0 }
        : await naming(path, () => readAnswers(path));
      const handle = await naming(path, () => open(path, isNew ? 'wx' : 'r+'));
      try {
        await naming(path, async () => {
          await handle.truncate(held.size);
          await handle.sync();
          if (isNew) await syncFolder(dirname(path));
        });
        return new AnswerFile(path, handle, lock, held);
      } catch (error) {
        await handle.close();
        throw error;
      }
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Writes an answer and waits until the drive has it. Throws `AnswerFileError`: the file is then as it was before. */
  async append(answer: BatchAnswer): Promise<void> {
    const line = Buffer.from(`${JSON.stringify(answer)}\n`);
    try {
      for (let done = 0; done < line.length; ) {
        const { bytesWritten } = await this.#handle.write(line, done, line.length - done, this.#size + done);
        done += bytesWritten;
      }
      await this.#handle.datasync();
    } catch (cause) {
      // If not even this can be done, the next run cuts off what is torn.
      await this.#handle.truncate(this.#size).catch(() => undefined);
      throw new AnswerFileError({ file: this.path, cause });
    }
    this.#size += line.length;
    this.answered.record(answer);
  }

  async close(): Promise<void> {
    await this.#handle.close();
    await this.#lock.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** What a file holds: its answers, and the bytes up to the end of the last whole one. */
interface Held {
  readonly answered: LineLedger;
  readonly count: number;
  readonly size: number;
}

async function readAnswers(path: string): Promise<Held> {
  const answered = new LineLedger();
  let count = 0;
  let size = 0;
  for await (const line of splitLines(createReadStream(path, { highWaterMark: 2 ** 20 }))) {
    if (!line.ended) {
      if (count > 0 || looksTorn(line)) break;
      throw somethingElse(path, line);
    }
    const answer = parseAnswer(line);
    if (answer === undefined) throw somethingElse(path, line);
    answered.record(answer);
    count++;
    size = line.offset + line.bytes.length + 1;
  }
  return { answered, count, size };
}

function looksTorn({ bytes }: Line): boolean {
  const text = Buffer.from(bytes).toString('latin1', 0, BEGINNING.length);
  return BEGINNING.startsWith(text) || text === BEGINNING || bytes.every((byte) => byte === 0);
}

function parseAnswer({ bytes }: Line): Pick<BatchAnswer, 'custom_id' | 'error'> | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isJsonObject(answer) || !('response' in answer)) return undefined;
  const { custom_id: customId, error } = answer;
  if (customId !== null && typeof customId !== 'string') return undefined;
  if (error !== null && !(isJsonObject(error) && typeof error.line === 'number')) return undefined;
  return { custom_id: customId, error: error as unknown as BatchAnswer['error'] };
}

function somethingElse(path: string, { number }: Line): FormatError {
  const reason = `line ${number} is no answer of a batch; choose another file for the output`;
  return new FormatError({ file: path, reason });
}

async function isAbsent(path: string): Promise<boolean> {
  try {
    await stat(path);
    return false;
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return true;
    throw new AnswerFileError({ file: path, cause: error });
  }
}

/** Errors of the file system name the file. */
async function naming<Result>(file: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (cause) {
    if (typeof (cause as NodeJS.ErrnoException).syscall === 'string') throw new AnswerFileError({ file, cause });
    throw cause;
  }
}
