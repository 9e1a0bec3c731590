import { createHash, type Hash } from 'node:crypto';
import type { OutputFile } from './output-file';
import type { Workspace } from './workspace';

/** Appends tensors to a file, one after the other, hashing each. */
export class TensorWriter {
  readonly #output: OutputFile;
  readonly #workspace: Workspace;
  #hash: Hash = createHash('sha256');

  constructor(output: OutputFile, workspace: Workspace) {
    this.#output = output;
    this.#workspace = workspace;
  }

  /** Begins a tensor; the gap before it is filled with zeros. */
  begin(at: number): void {
    const gap = at - this.#output.position;
    this.#output.zerosTo(at);
    this.#workspace.advance(gap);
    this.#hash = createHash('sha256');
  }

  readonly append = (bytes: Uint8Array): void => {
    this.#hash.update(bytes);
    this.#output.append(bytes);
    this.#workspace.advance(bytes.length);
  };

  /** Ends it: its SHA-256, in hexadecimal. */
  end(): string {
    return this.#hash.digest('hex');
  }
}
