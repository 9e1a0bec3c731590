import { closeSync, fstatSync, openSync, type Stats } from 'node:fs';
import { ReadError } from '../errors';
import { alignDown, alignUp, type Extent } from '../extent';
import { HostBuffer } from '../host-buffer';
import { pageAllocator } from '../memory';
import type { MappedFile } from '../reader';
import { nativeIo } from './native-io';

/** Files mapped whole, each once. */
export class FileMappings {
  readonly #files = new Map<string, Mapping>();

  /** Null where the system does not map it. */
  of(file: string): Mapping | null {
    const known = this.#files.get(file);
    if (known !== undefined) return known;
    try {
      const mapping = new Mapping(file);
      this.#files.set(file, mapping);
      return mapping;
    } catch {
      // No descriptor or address space for it, or a file system without mappings: reading says what there is to say.
      return null;
    }
  }

  dispose(): void {
    for (const mapping of this.#files.values()) mapping.dispose();
    this.#files.clear();
  }
}

class Mapping implements MappedFile {
  readonly file: string;
  readonly buffer: HostBuffer;
  readonly #fd: number;
  readonly #before: Stats;

  constructor(file: string) {
    this.file = file;
    const fd = openSync(file, 'r');
    try {
      this.#before = fstatSync(fd);
      const pages = { ...pageAllocator(), allocate: (byteLength: number) => nativeIo().map(fd, byteLength) };
      this.buffer = HostBuffer.over(pages, this.#before.size, file);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    this.#fd = fd;
  }

  check(): void {
    const { size, mtimeMs } = fstatSync(this.#fd);
    if (size === this.#before.size && mtimeMs === this.#before.mtimeMs) return;
    const reason = 'it was cut or written to while its weights were in use; open the model anew';
    throw new ReadError({ file: this.file, offset: 0, expected: this.#before.size, found: size, reason });
  }

  /** Has the missing pages read, without waiting for them. */
  fetch({ offset, length }: Extent): void {
    const { willNeed, pageBytes } = nativeIo();
    const start = alignDown(offset, pageBytes);
    willNeed(this.buffer.address + BigInt(start), offset + length - start);
  }

  release({ offset, length }: Extent): void {
    const { forget, pageBytes } = nativeIo();
    const start = alignUp(offset, pageBytes);
    const end = alignDown(offset + length, pageBytes);
    if (end > start) forget(this.buffer.address + BigInt(start), end - start);
  }

  dispose(): void {
    this.buffer.dispose();
    closeSync(this.#fd);
  }
}
