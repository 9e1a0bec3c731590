import type { ComputeDType, Executor } from '../executor';
import { GraphBuilder } from '../graph/builder';
import type { Block } from '../graph/graph';
import type { PassRows } from '../rows';
import { BlockRunner } from '../testing/block-runner';
import { rounded, type TestDType } from '../testing/encode';
import type { Cut } from '../testing/parts';
import { randomNumbers, randomValues } from '../testing/random';
import { someRows } from '../testing/rows';
import { TestWeights } from '../testing/weights';
import type { Case, Given } from './case';

/** Rows of the embedding tables that ids are drawn from. */
const TABLE_ROWS = 50;

export interface RunOptions {
  readonly cut: Cut;
  /** Rows per pass. */
  readonly chunk: number;
  /** With everything in the memory of the executor's device; `stays`: with weights that are brought there once. */
  readonly onDevice?: boolean | 'stays';
}

export type Recorded = Pick<Case, 'rows' | 'record' | 'inputs' | 'packed' | 'kvCacheDtype'>;

/** A case with its weights and inputs, ready to run any number of times. */
export class PreparedCase {
  readonly block: Block;
  readonly #weights: TestWeights;
  readonly #packed: boolean;
  readonly #rows: PassRows;
  readonly #inputs: ReadonlyMap<string, Float32Array>;
  readonly #ids: Int32Array;

  constructor(recorded: Recorded, dtype: TestDType) {
    this.#weights = new TestWeights(dtype, recorded.packed);
    this.#packed = recorded.packed !== undefined;
    const b = new GraphBuilder(this.#weights.source, { kvCacheDtype: recorded.kvCacheDtype });
    recorded.record(b);
    this.block = b.build('case');
    this.#rows = recorded.rows;
    this.#inputs = makeInputs(this.block, recorded);
    const next = randomNumbers('ids');
    this.#ids = Int32Array.from({ length: recorded.rows.count }, () => Math.floor(next() * TABLE_ROWS));
  }

  given(computeDtype: ComputeDType): Given {
    const rounds = computeDtype === 'bfloat16' && (this.#packed || this.#weights.dtype === 'BF16');
    return {
      operand: (x) => (rounds ? rounded(x, 'BF16') : x),
      rows: this.#rows,
      ids: this.#ids,
      input: (name, r) => this.#slice(name, r, r + 1),
      weight: (name) => this.#weights.values(name),
    };
  }

  /** Runs all rows, in passes of `chunk`; the output `y`, float32 `[rows, width]`. */
  async run(executor: Executor, { cut, chunk, onDevice }: RunOptions): Promise<Float32Array> {
    const rows = this.#rows;
    const sequences = Math.max(...rows.sequence) + 1;
    const maxRows = Math.min(chunk, rows.count);
    const maxLength = Math.max(...rows.position) + 1;
    const device = onDevice ? { maxLength, stays: onDevice === 'stays' } : undefined;
    const options = { cut, maxRows, sequences, onDevice: device };
    const runner = new BlockRunner(executor, this.block, this.#weights, options);
    try {
      const pieces: Float32Array[] = [];
      for (let from = 0; from < rows.count; from += chunk) {
        const to = Math.min(from + chunk, rows.count);
        const inputs = new Map([...this.#inputs.keys()].map((name) => [name, this.#slice(name, from, to)]));
        const outputs = await runner.pass({ rows: someRows(rows, from, to), inputs, ids: this.#ids.slice(from, to) });
        pieces.push(outputs.get('y')!);
      }
      return joined(pieces);
    } finally {
      runner.dispose();
    }
  }

  dispose(): void {
    this.#weights.dispose();
  }

  #slice(name: string, from: number, to: number): Float32Array {
    const values = this.#inputs.get(name)!;
    const width = values.length / this.#rows.count;
    return values.subarray(from * width, to * width);
  }
}

function makeInputs(block: Block, recorded: Recorded): Map<string, Float32Array> {
  const { inputs, values } = block.graph;
  return new Map(
    [...inputs].map(([name, id]) => {
      const given = recorded.inputs?.[name];
      return [
        name,
        given ? Float32Array.from(given.flat()) : randomValues(name, recorded.rows.count * values[id]!.width),
      ];
    }),
  );
}

function joined(pieces: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
