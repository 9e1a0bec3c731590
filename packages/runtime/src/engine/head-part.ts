import type { Block, PassRows, RunCall } from '@airllm/kernels';
import { HostBuffer } from '@airllm/loader';
import { carryBuffers } from './pass-buffers';
import { packRows, type Row } from './rows';

/** What the head computes on. */
export interface HeadBuffers {
  readonly carry: ReadonlyMap<string, HostBuffer>;
  readonly workspace: HostBuffer;
}

/** Rows whose logits are computed together. The head's weights may be there for one part of it after the other. */
export class HeadPart {
  readonly call: Omit<RunCall, 'part' | 'weights'>;
  readonly #buffers: HeadBuffers;
  readonly #rows: readonly number[];
  readonly #owned: boolean;

  /** @param rows - Indexes in the pass's rows. */
  constructor(
    head: Block,
    pass: readonly Row[],
    rows: readonly number[],
    maxRows: number,
    given: HeadBuffers | number,
  ) {
    this.#owned = typeof given === 'number';
    this.#buffers =
      typeof given === 'number'
        ? { carry: carryBuffers([head], maxRows), workspace: HostBuffer.allocate(given, { label: 'head workspace' }) }
        : given;
    this.#rows = rows;
    const packed: PassRows = packRows(rows.map((r) => pass[r]!)).rows;
    this.call = { rows: packed, ...this.#buffers, maxRows, states: [] };
  }

  /** Whether it computes on the hidden values where the layers leave them. */
  readsIn(hidden: HostBuffer): boolean {
    return this.#buffers.carry.get('hidden') === hidden;
  }

  /** Takes its rows of the hidden values `[rows, width]` that come out of the layers. */
  gather(from: HostBuffer, width: number): void {
    const to = this.#buffers.carry.get('hidden')!;
    this.#rows.forEach((r, i) => {
      to.float32(i * width * 4, width).set(from.float32(r * width * 4, width));
    });
  }

  /** Copies of its rows' logits, in arrays taken from `spare` as long as there are any. */
  logits(width: number, spare: Float32Array[] = []): Float32Array[] {
    const buffer = this.#buffers.carry.get('logits')!;
    return this.#rows.map((_, i) => {
      const copy = spare.pop() ?? new Float32Array(width);
      copy.set(buffer.float32(i * width * 4, width));
      return copy;
    });
  }

  /** Gives back buffers of its own. Idempotent. */
  dispose(): void {
    if (!this.#owned) return;
    for (const buffer of this.#buffers.carry.values()) buffer.dispose();
    this.#buffers.workspace.dispose();
  }
}
