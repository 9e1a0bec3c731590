import type { Part } from '../graph/graph';
import type { PassRows } from '../rows';
import { NativeMemory } from './native-memory';

/** `AIRLLM_NONE`, as a signed number. */
const NONE = -1;
/** Longs of `airllm_run` and of `airllm_step` in native/airllm.h. */
const RUN_LONGS = 14;
const STEP_LONGS = 2;

/** A part on buffers that stay where they are, with addresses instead of buffers. */
export interface NativePart {
  /** Handle of the program. */
  readonly program: bigint;
  readonly part: Part;
  readonly maxRows: number;
  readonly weights: readonly bigint[];
  readonly carry: readonly bigint[];
  readonly workspace: bigint;
}

/** What one pass adds to it. */
export interface NativePass {
  readonly rows: PassRows;
  readonly ropes: readonly bigint[];
  /** `states[s][q]`: block addresses of state s for sequence q. */
  readonly states: readonly (readonly BigUint64Array[])[];
}

/** What `airllm_submit` takes. */
export interface NativeSteps {
  readonly address: bigint;
  readonly count: number;
}

/**
 * Parts as the structs `airllm_step` and `airllm_run` and the arrays they point to, in native memory. What stays the same
 * is written once, what a pass adds each time.
 */
export class CallFrame {
  readonly #fixed = new NativeMemory();
  readonly #varying = new NativeMemory();
  #count = 0;

  /** Writes what stays the same, in the place of what was there. */
  place(parts: readonly NativePart[]): void {
    this.#count = parts.length;
    const head = (STEP_LONGS + RUN_LONGS) * parts.length;
    this.#fixed.begin(parts.reduce((sum, { weights, carry }) => sum + weights.length + carry.length, head));
    this.#fixed.take(head);
    parts.forEach((part, i) => {
      this.#placePart(part, i);
    });
  }

  /** Writes what a pass adds for each part. The result is valid until the next call. */
  write(passes: readonly NativePass[]): NativeSteps {
    this.#varying.begin(passes.reduce((sum, pass) => sum + passLongs(pass), 0));
    const { ints, longs } = this.#fixed;
    let rows: PassRows | undefined;
    let described: readonly bigint[] = [];
    passes.forEach((pass, i) => {
      if (pass.rows !== rows) {
        rows = pass.rows;
        described = [rows.sequence, rows.position, rows.visibleFrom].map((array) =>
          this.#varying.putInts(array, pass.rows.count),
        );
      }
      const at = this.#runAt(i);
      ints[2 * at] = pass.rows.count;
      ints[2 * at + 7] = pass.states[0]?.length ?? 0;
      longs.set(described, at + 6);
      longs[at + 11] = this.#varying.putLongs(pass.ropes);
      longs[at + 12] = this.#putTables(pass.states);
    });
    return { address: this.#fixed.addressOf(0), count: this.#count };
  }

  dispose(): void {
    this.#fixed.dispose();
    this.#varying.dispose();
  }

  #runAt(index: number): number {
    return STEP_LONGS * this.#count + RUN_LONGS * index;
  }

  #placePart({ program, part, maxRows, weights, carry, workspace }: NativePart, index: number): void {
    const { ints, longs } = this.#fixed;
    const at = this.#runAt(index);
    longs.set([program, this.#fixed.addressOf(at)], STEP_LONGS * index);
    ints[2 * at + 1] = maxRows;
    this.#placeRange(2 * at + 2, part);
    ints[2 * at + 6] = part.expert?.id ?? NONE;
    this.#placeRange(2 * at + 8, part.expert?.part);
    longs[at + 9] = this.#fixed.putLongs(weights);
    longs[at + 10] = this.#fixed.putLongs(carry);
    longs[at + 13] = workspace;
  }

  #placeRange(at: number, part: Part | undefined): void {
    this.#fixed.ints.set([part?.from ?? 0, part?.to ?? 0, part?.slice?.from ?? NONE, part?.slice?.to ?? NONE], at);
  }

  /** Pairs {address of the block addresses, their count}, behind the block addresses. */
  #putTables(states: NativePass['states']): bigint {
    const pairs: bigint[] = [];
    for (const tables of states) {
      for (const table of tables) pairs.push(this.#varying.putLongs(table), BigInt(table.length));
    }
    return this.#varying.putLongs(pairs);
  }
}

function passLongs({ rows, ropes, states }: NativePass): number {
  let longs = 3 * Math.ceil(rows.count / 2) + ropes.length;
  for (const tables of states) for (const table of tables) longs += 2 + table.length;
  return longs;
}
