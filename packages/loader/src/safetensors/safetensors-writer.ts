import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { DisposedError, OptionError } from '../errors';
import { syncFolder } from '../files/sync-folder';
import { writeFailure } from '../system-errors';
import {
  type HeaderLayout,
  type LayoutOptions,
  layoutHeader,
  type PlacedTensor,
  type TensorSpec,
} from './layout-header';

/** How a {@link SafetensorsWriter} places tensors and ends. */
export interface WriterOptions extends LayoutOptions {
  /** Force the bytes to the drive before the file gets its name: default true. */
  readonly fsync?: boolean | undefined;
}

/** Anything that yields a tensor's bytes, row-major and little-endian. */
export type TensorBytes = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes a safetensors file piece by piece: the header first, since all shapes are known, then the bytes in the order
 * of the specs. The file appears under its name complete (fsync, then an atomic rename) or not at all.
 *
 * Throws `OptionError` for impossible specs, and `WriteError` (with `errno`, such as `ENOSPC`) after removing what was
 * begun.
 */
export class SafetensorsWriter {
  readonly file: string;
  /** Where each tensor lies in the finished file. */
  readonly tensors: readonly PlacedTensor[];
  /** Bytes of the finished file. */
  readonly fileBytes: number;
  readonly #handle: FileHandle;
  readonly #temporary: string;
  readonly #fsync: boolean;
  #state: 'open' | 'finished' | 'aborted' = 'open';
  /** Tensors begun or done. */
  #index = 0;
  #position: number;

  private constructor(file: string, temporary: string, handle: FileHandle, layout: HeaderLayout, fsync: boolean) {
    this.file = file;
    this.tensors = layout.tensors;
    this.fileBytes = layout.fileBytes;
    this.#temporary = temporary;
    this.#handle = handle;
    this.#fsync = fsync;
    this.#position = layout.bytes.byteLength;
  }

  /** Begins a file: writes the header under a temporary name in the same folder. */
  static async create(
    path: string,
    tensors: readonly TensorSpec[],
    options: WriterOptions = {},
  ): Promise<SafetensorsWriter> {
    const layout = layoutHeader(tensors, options);
    const file = resolve(path);
    const temporary = join(dirname(file), `.${basename(file)}.${randomBytes(6).toString('hex')}.tmp`);
    const handle = await open(temporary, 'wx').catch((cause: unknown) => {
      throw writeFailure(file, cause);
    });
    const writer = new SafetensorsWriter(file, temporary, handle, layout, options.fsync ?? true);
    await writer.#guard(() => writeFully(handle, layout.bytes, 0));
    return writer;
  }

  /** Writes the bytes of the next tensor, all of them. `name` is a check that it is the one expected. */
  async write(name: string, bytes: TensorBytes): Promise<void> {
    if (this.#state !== 'open') throw new DisposedError(`writer of ${this.file}`);
    const tensor = this.tensors[this.#index++];
    await this.#guard(async () => {
      if (tensor?.name !== name) {
        throw new OptionError({
          option: 'name',
          expected: `tensor ${tensor?.name ?? '(none left)'} next`,
          found: name,
        });
      }
      await this.#fillTo(tensor.offset);
      const end = tensor.offset + tensor.byteLength;
      for await (const chunk of bytes instanceof Uint8Array ? [bytes] : bytes) {
        if (this.#position + chunk.byteLength > end) throw sizeError(tensor, `more than ${tensor.byteLength}`);
        await writeFully(this.#handle, chunk, this.#position);
        this.#position += chunk.byteLength;
      }
      if (this.#position !== end) throw sizeError(tensor, this.#position - tensor.offset);
    });
  }

  /** Makes the file appear under its name. Throws `OptionError` if a tensor is missing. */
  async finish(): Promise<void> {
    if (this.#state !== 'open') throw new DisposedError(`writer of ${this.file}`);
    await this.#guard(async () => {
      const missing = this.tensors[this.#index];
      if (missing !== undefined) {
        throw new OptionError({ option: 'tensors', expected: `bytes of ${missing.name}`, found: 'finish()' });
      }
      await this.#fillTo(this.fileBytes);
      if (this.#fsync) await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#temporary, this.file);
      if (this.#fsync) await syncFolder(dirname(this.file));
      this.#state = 'finished';
    });
  }

  /** Removes what was begun. Idempotent, and nothing after `finish()`. */
  async abort(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'aborted';
    // Closing fails where finish() already closed; the file has to go in any case.
    await this.#handle.close().catch(() => {});
    await rm(this.#temporary, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  /** Zeros up to a position: the bytes of a padding tensor. */
  async #fillTo(position: number): Promise<void> {
    const gap = position - this.#position;
    if (gap > 0) await writeFully(this.#handle, new Uint8Array(gap), this.#position);
    this.#position = position;
  }

  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      await this.abort();
      throw isSystemError(error) ? writeFailure(this.file, error) : error;
    }
  }
}

/** A tensor with its bytes, for a file small enough to be written in one call. */
export interface TensorData extends TensorSpec {
  readonly data: TensorBytes;
}

/** Writes a whole safetensors file. Throws as `SafetensorsWriter` does. */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorData[],
  options: WriterOptions = {},
): Promise<void> {
  const writer = await SafetensorsWriter.create(path, tensors, options);
  try {
    for (const { name, data } of tensors) await writer.write(name, data);
    await writer.finish();
  } finally {
    await writer.abort();
  }
}

async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.byteLength - done, position + done);
    done += bytesWritten;
  }
}

function sizeError(tensor: PlacedTensor, found: number | string): OptionError {
  return new OptionError({ option: `bytes of ${tensor.name}`, expected: String(tensor.byteLength), found });
}

/** What Node's fs throws: it has `errno` and `syscall`, unlike our own errors, whose codes begin with ERR_. */
function isSystemError(error: unknown): boolean {
  return typeof (error as { syscall?: unknown } | null)?.syscall === 'string';
}
