import { HostBuffer } from '@airllm/loader';
import { InputFile } from './input-file';
import { JobFailure, type WorkerSettings } from './protocol';

/** Bytes per request. Larger ones are no faster with several workers, and each worker holds two of these. */
const CHUNK = 4 << 20;

/** Allocating anew for each tensor would let garbage pile up; the exceptionally large is given back. */
const LARGEST_KEPT = 8 << 20;

/** Source files kept open per worker; a layer's tensors lie in one or two. */
const OPEN_FILES = 8;

/** What a worker keeps between jobs: two buffers, open files, and the way to report. */
export class Workspace {
  readonly out = HostBuffer.allocate(CHUNK, { label: 'split output' });
  readonly #in = HostBuffer.allocate(CHUNK, { label: 'split input' });
  /** Direct I/O needs page-aligned memory, which only a native buffer has. */
  readonly direct: boolean;
  readonly #cancel: Int32Array;
  readonly #report: (bytes: number) => void;
  readonly #inputs = new Map<string, InputFile>();
  readonly #memories = new Map<string, Uint8Array>();
  #unreported = 0;

  constructor(settings: WorkerSettings, report: (bytes: number) => void) {
    this.direct = settings.direct && this.out.native && this.#in.native;
    this.#cancel = new Int32Array(settings.cancel);
    this.#report = report;
  }

  /** An open file to read; its chunks share one buffer, so finish one before the next. */
  input(path: string, useCache: boolean): InputFile {
    let input = this.#inputs.get(path);
    if (input === undefined) {
      input = new InputFile(path, this.#in, { direct: this.direct, useCache });
      const [oldest] = this.#inputs.values();
      if (oldest !== undefined && this.#inputs.size >= OPEN_FILES) this.#drop(oldest);
      this.#inputs.set(path, input);
    }
    return input;
  }

  /** Memory for what is made rather than read, one per use; valid until that use asks again. */
  memory(use: string, bytes: number): Uint8Array {
    let memory = this.#memories.get(use);
    if (memory === undefined || memory.length < bytes) {
      memory = new Uint8Array(bytes);
      this.#memories.set(use, memory);
    }
    return memory.subarray(0, bytes);
  }

  /** Counts bytes done, tells the host now and then, and throws when the host wants the job to stop. */
  advance(bytes: number): void {
    this.#unreported += bytes;
    if (this.#unreported < CHUNK) return;
    this.flush();
    if (Atomics.load(this.#cancel, 0) !== 0) throw new JobFailure({ kind: 'cancelled' });
  }

  /** Reports what has not been reported. */
  flush(): void {
    if (this.#unreported > 0) this.#report(this.#unreported);
    this.#unreported = 0;
  }

  /** Ends a job: files may change or vanish before the next. */
  reset(): void {
    for (const input of this.#inputs.values()) this.#drop(input);
    for (const [use, { length }] of this.#memories) if (length > LARGEST_KEPT) this.#memories.delete(use);
    this.#unreported = 0;
  }

  #drop(input: InputFile): void {
    this.#inputs.delete(input.path);
    input.close();
  }
}
